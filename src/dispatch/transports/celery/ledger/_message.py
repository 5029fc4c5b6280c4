"""A message's text, as kombu writes it into a list, cut where its stamp is.

The stamp is a header of thirteen digits: the server's milliseconds at the moment when the message went into its list.
The text is only ever cut and joined, because Lua's JSON makes `{}` of `[]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

STAMP_HEADER = "dispatch-stamp"
"""The header that the publishing side puts into each message for the ledger, with `NO_STAMP` as its value."""

NO_STAMP = "0" * 13

_STAMPED = re.compile(rf'"{STAMP_HEADER}": "(\d{{13}})"')
_OF_THIS_ATTEMPT = {"retries": 0, "expires": None, "eta": None}


def cut(text: str) -> tuple[str, str]:
    """What stands before the stamp's digits, and after them. Raises `ValueError` where there is no stamp."""
    found = _STAMPED.search(text)
    if found is None:
        raise ValueError(
            f"a message for the ledger needs the header {STAMP_HEADER!r} with {NO_STAMP!r} as its value, "
            f"written as JSON with a space after the colon; this one begins {text[:80]!r}"
        )
    return text[: found.start(1)], text[found.end(1) :]


def headers_of(text: str) -> dict[str, Any]:
    """What the message says beside its arguments. Raises `ValueError` for what is no message."""
    headers = json.loads(text).get("headers")
    return headers if isinstance(headers, dict) else {}


def next_attempt(text: str, attempt: int, headers: Mapping[str, str]) -> str:
    """The message of the attempt that follows `attempt`, counted from 1, with `headers` laid over its own."""
    message = json.loads(text)
    # Celery counts retries: the first attempt is its retry 0.
    message["headers"].update({"retries": attempt, "eta": None, **headers})
    return json.dumps(message)


def first_attempt(text: str) -> str:
    """The same call's message as it was before any retry, and without a date by which it had to run.

    The body is left as it is: kombu keeps it as one text.
    """
    message = json.loads(text)
    message["headers"].update(_OF_THIS_ATTEMPT)
    return json.dumps(message)
