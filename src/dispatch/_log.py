"""Logs go through structlog: the application's own set-up where there is one, else the standard library's logging."""

from __future__ import annotations

import logging

import structlog
from structlog.processors import LogfmtRenderer, StackInfoRenderer, format_exc_info
from structlog.stdlib import BoundLogger, filter_by_level


def logger(room: str) -> BoundLogger:
    """The logger of one room, `dispatch.{room}`. Not for the hot path: a disabled line costs more than a local call.

    Asked for at each use, so that an application may configure structlog after it imported us.
    """
    name = f"dispatch.{room}"
    if structlog.is_configured():
        configured: BoundLogger = structlog.get_logger(name)
        return configured
    plain: BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            filter_by_level,
            StackInfoRenderer(),
            format_exc_info,
            LogfmtRenderer(key_order=["event"]),
        ],
        wrapper_class=BoundLogger,
    )
    return plain
