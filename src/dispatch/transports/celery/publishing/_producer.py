"""kombu's producer, taught to send a body that is encoded already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.utils.nodenames import anon_nodename
from kombu import messaging, serialization

from dispatch.transports.celery._signer import SIGNATURE_HEADER, signer_of
from dispatch.transports.celery.publishing._encoding import Body

_dumps: Callable[..., tuple[str, str, str | bytes]] = serialization.dumps
_Producer: Any = messaging.Producer  # its methods carry no types


class Producer(_Producer):  # type: ignore[misc]
    """One app's producer on one channel, with what each message would otherwise ask the app's settings for."""

    def __init__(self, app: Celery, channel: Any) -> None:
        super().__init__(channel, auto_declare=False)
        self.app = app
        self.origin = anon_nodename()
        self.signer = signer_of(app)
        self.sends_events: bool = app.conf.task_send_sent_event
        priority = app.conf.task_default_priority
        self.properties: dict[str, Any] = {} if priority is None else {"priority": priority}

    def publish(self, body: Any, **options: Any) -> Any:
        """As kombu's; a `Body` goes out as the text that its caller's thread has made of it.

        It is signed here, behind every receiver of Celery's signals, where the app has a key. So is a call that Celery
        has made from it; an event about a message has no need of that.
        """
        if type(body) is Body:
            content_type, content_encoding, text = body.content_type, body.content_encoding, body.text
        elif self.signer is not None and "task" in (options.get("headers") or {}):
            content_type, content_encoding, text = _dumps(body, serializer=options.pop("serializer", None) or "json")
        else:
            return super().publish(body, **options)
        options["content_type"], options["content_encoding"] = content_type, content_encoding
        if self.signer is not None:
            # The text before compression: a worker's kombu has undone that before anybody can look.
            plain = body.plain if type(body) is Body else text
            headers = options["headers"]
            options["headers"] = headers | {
                SIGNATURE_HEADER: self.signer.sign(headers, plain, content_type, content_encoding)
            }
        if type(body) is Body and body.compression is not None:
            # Where the app compresses all that it sends, this is done already.
            options["compression"] = None
            options["headers"] = {**(options.get("headers") or {}), "compression": body.compression}
        return super().publish(text, **options)
