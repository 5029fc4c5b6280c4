"""What runs inside a Celery worker: the body of each task, and its acknowledgement, call by call."""

from dispatch.transports.celery.worker._body import body_of as body_of

__all__ = ["body_of"]
