"""kombu's producer, taught to send a body that is encoded already."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.utils.nodenames import anon_nodename
from kombu import messaging

from dispatch.transports.celery.publishing._encoding import Body

_Producer: Any = messaging.Producer  # its methods carry no types


class Producer(_Producer):  # type: ignore[misc]
    """One app's producer on one channel, with what each message would otherwise ask the app's settings for."""

    def __init__(self, app: Celery, channel: Any) -> None:
        super().__init__(channel, auto_declare=False)
        self.app = app
        self.origin = anon_nodename()
        self.sends_events: bool = app.conf.task_send_sent_event
        priority = app.conf.task_default_priority
        self.properties: dict[str, Any] = {} if priority is None else {"priority": priority}

    def publish(self, body: Any, **options: Any) -> Any:
        """As kombu's; a `Body` goes out as the text that its caller's thread has made of it."""
        if type(body) is not Body:
            return super().publish(body, **options)
        options["content_type"], options["content_encoding"] = body.content_type, body.content_encoding
        if body.compression is not None:
            # Where the app compresses all that it sends, this is done already.
            options["compression"] = None
            options["headers"] = {**(options.get("headers") or {}), "compression": body.compression}
        return super().publish(body.text, **options)
