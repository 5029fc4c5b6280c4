"""Logs go through structlog: the application's own set-up where there is one, else the standard library's logging."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger


_also: list[Any] = []


def also(processor: Any) -> None:
    """Have `processor` add to each line of ours, where the application has not configured structlog."""
    _also.append(processor)


def logger(room: str) -> BoundLogger:
    """The logger of one room, `dispatch.{room}`. Not for the hot path: a disabled line costs more than a local call.

    Asked for at each use, so that an application may configure structlog after it imported us.
    """
    # structlog brings rich along: a fifth of what `import dispatch` would cost. The policy in force is said when a
    # dispatcher is made, so that a worker, a finalizer or an exit finds it imported.
    import structlog  # noqa: PLC0415 - see above
    from structlog.processors import LogfmtRenderer, StackInfoRenderer, format_exc_info  # noqa: PLC0415 - see above
    from structlog.stdlib import BoundLogger, filter_by_level  # noqa: PLC0415 - see above

    name = f"dispatch.{room}"
    if structlog.is_configured():
        configured: BoundLogger = structlog.get_logger(name)
        return configured
    plain: BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            filter_by_level,
            *_also,
            StackInfoRenderer(),
            format_exc_info,
            LogfmtRenderer(key_order=["event"]),
        ],
        wrapper_class=BoundLogger,
    )
    return plain
