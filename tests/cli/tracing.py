"""`dispatch traces`, asked in a directory of the test's own."""

from __future__ import annotations

from click.testing import CliRunner, Result

from dispatch.cli._traces import traces

_NAMES = ("DISPATCH_TRACE_DIR", "DISPATCH_TELEMETRY", "FORCE_COLOR", "NO_COLOR", "COLUMNS")


def away_from_settings(monkeypatch, folder) -> None:
    """Neither the machine's settings nor its `.env`."""
    for name in _NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)


def ask(*arguments: str, **environment: str) -> Result:
    """Into a pipe: 200 columns, and no colour."""
    return CliRunner().invoke(traces, arguments, env=environment)
