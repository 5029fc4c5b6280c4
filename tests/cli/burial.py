"""Dead letters on Redis, as a worker would make them."""

from __future__ import annotations

import json

from dispatch.transports.celery.ledger import NO_STAMP, STAMP_HEADER, Entry

BODY = "W1s3XSwge30sIHt9XQ=="
"""`[[7], {}, {}]`, as kombu packs it."""


def bury(ledger, call_id, task="shop.charge", error="LookupError: no order 7", trace="0af7"):
    message = {
        "body": BODY,
        "content-type": "application/json",
        "headers": {"id": call_id, "task": task, "retries": 0, STAMP_HEADER: NO_STAMP},
        "properties": {"body_encoding": "base64"},
    }
    ledger.enter(Entry(id=call_id, task=task, list_key="shop", message=json.dumps(message)))
    claim = ledger.claim(call_id, 1, f"owner of {call_id}", lambda: None)
    assert ledger.bury(claim, error=error, traceback="Traceback …\n  in charge", trace_id=trace)
