"""What is wrong with an app, its broker and its workers, before it hurts."""

from dispatch.transports.celery.doctor._examination import examine as examine
from dispatch.transports.celery.doctor._subject import Subject as Subject

__all__ = ["Subject", "examine"]
