"""Times as a person gives them on the command line."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from dispatch._clock import wall
from dispatch._units import as_duration_ns


class Since(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """`2h`, or a date and time, without a zone in local time; gives nanoseconds since 1970."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        try:
            return max(0, wall() - as_duration_ns(text))
        except ValueError:
            pass
        try:
            return max(0, int(datetime.fromisoformat(text).astimezone().timestamp() * 1e6) * 1000)
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is neither a duration, such as 2h, nor a date, such as 2026-11-05T14:00", param, ctx)


class Duration(click.ParamType):  # type: ignore[type-arg]  # as above
    """`10ms`; gives nanoseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return as_duration_ns(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
