"""What runs inside a Celery worker: the body of each task, and its acknowledgement, call by call."""

from dispatch.transports.celery.worker._body import body_of as body_of
from dispatch.transports.celery.worker._claims import settle as settle
from dispatch.transports.celery.worker._delivery import trace_id as trace_id
from dispatch.transports.celery.worker._payload import let_go_of_payload as let_go_of_payload
from dispatch.transports.celery.worker._probe import register_probe as register_probe
from dispatch.transports.celery.worker._reporting import reporting as reporting
from dispatch.transports.celery.worker._timeout import time_limits as time_limits

__all__ = ["body_of", "let_go_of_payload", "register_probe", "reporting", "settle", "time_limits", "trace_id"]
