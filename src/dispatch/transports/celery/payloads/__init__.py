"""Large payloads that are kept in a store, while the message carries a claim to them.

The claim check of Hohpe and Woolf, "Enterprise Integration Patterns".
"""

from dispatch.transports.celery.payloads._stores import PayloadStore as PayloadStore
from dispatch.transports.celery.payloads._stores import keep_for as keep_for
from dispatch.transports.celery.payloads._stores import store_of as store_of
from dispatch.transports.celery.payloads._storing import Storing as Storing

__all__ = ["PayloadStore", "Storing", "keep_for", "store_of"]
