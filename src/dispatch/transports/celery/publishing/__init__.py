"""From a call to a broker's answer: encoding, messages, and the one thread that speaks to the broker."""

from dispatch.transports._arguments import Uncarried as Uncarried
from dispatch.transports.celery.publishing._answer import Answer as Answer
from dispatch.transports.celery.publishing._breaker import Limits as Limits
from dispatch.transports.celery.publishing._compression import compressed as compressed
from dispatch.transports.celery.publishing._encoding import JSON as JSON
from dispatch.transports.celery.publishing._encoding import Body as Body
from dispatch.transports.celery.publishing._encoding import check as check
from dispatch.transports.celery.publishing._encoding import encode as encode
from dispatch.transports.celery.publishing._encoding import only_json as only_json
from dispatch.transports.celery.publishing._line import NEVER_TWICE as NEVER_TWICE
from dispatch.transports.celery.publishing._line import connection as connection
from dispatch.transports.celery.publishing._line import let_go as let_go
from dispatch.transports.celery.publishing._lines import load as load
from dispatch.transports.celery.publishing._message import MAX_DELIVERIES_HEADER as MAX_DELIVERIES_HEADER
from dispatch.transports.celery.publishing._message import Message as Message
from dispatch.transports.celery.publishing._message import message_of as message_of
from dispatch.transports.celery.publishing._parcel import opened as opened
from dispatch.transports.celery.publishing._parcel import sealed as sealed
from dispatch.transports.celery.publishing._producer import Producer as Producer
from dispatch.transports.celery.publishing._proof import Need as Need
from dispatch.transports.celery.publishing._proof import Proof as Proof
from dispatch.transports.celery.publishing._publisher import Publisher as Publisher
from dispatch.transports.celery.publishing._ticket import Ticket as Ticket

__all__ = [
    "JSON",
    "MAX_DELIVERIES_HEADER",
    "NEVER_TWICE",
    "Answer",
    "Body",
    "Limits",
    "Message",
    "Need",
    "Producer",
    "Proof",
    "Publisher",
    "Ticket",
    "Uncarried",
    "check",
    "compressed",
    "connection",
    "encode",
    "let_go",
    "load",
    "message_of",
    "only_json",
    "opened",
    "sealed",
]
