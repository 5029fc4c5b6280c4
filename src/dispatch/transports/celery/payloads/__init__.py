"""Large payloads: compressed, or kept in a store while the message carries a claim to them.

The claim check of Hohpe and Woolf, "Enterprise Integration Patterns".
"""

from dispatch.transports.celery.payloads._claim import CLAIM_HEADER as CLAIM_HEADER
from dispatch.transports.celery.payloads._claim import Claim as Claim
from dispatch.transports.celery.payloads._packing import Packing as Packing
from dispatch.transports.celery.payloads._packing import compressed as compressed
from dispatch.transports.celery.payloads._stores import Settled as Settled
from dispatch.transports.celery.payloads._stores import keep_for as keep_for
from dispatch.transports.celery.payloads._stores import store_of as store_of
from dispatch.transports.celery.payloads._storing import Storing as Storing

__all__ = ["CLAIM_HEADER", "Claim", "Packing", "Settled", "Storing", "compressed", "keep_for", "store_of"]
