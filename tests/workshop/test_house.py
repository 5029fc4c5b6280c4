"""The house rules that a machine can check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import dispatch

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
ROOMS = {
    "channel",
    "cli",
    "embedded",
    "errors",
    "policy",
    "pool",
    "settings",
    "spool",
    "telemetry",
    "testing",
    "transports",
}


def test_the_door_shows_what_it_promises_and_nothing_else():
    """Every public name of `dispatch` is listed in `__all__`; rooms are reached through their own doors."""
    public = {name for name in vars(dispatch) if not name.startswith("_")} - (ROOMS - {"telemetry"})

    assert set(dispatch.__all__) == public
    assert sorted(dispatch.__all__) == dispatch.__all__


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_fits_in_the_head(path):
    """Every source file has fewer than 300 lines: a longer one holds two nouns."""
    assert len(path.read_text().splitlines()) < 300


def test_importing_dispatch_imports_no_celery():
    """The first broker call pays for Celery, not the import."""
    code = (
        "import sys, dispatch; sys.exit(any(name.split('.')[0] in ('celery', 'kombu', 'amqp') for name in sys.modules))"
    )

    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode


def test_every_setting_is_documented():
    """A field of Settings without a line in docs/settings.md fails here."""
    documented = (ROOT / "docs" / "settings.md").read_text()

    assert [] == [name for name in dispatch.Settings.model_fields if f"`DISPATCH_{name.upper()}`" not in documented]


def test_every_error_is_documented():
    """Each class of the error tree has a line in docs/errors.md."""
    documented = (ROOT / "docs" / "errors.md").read_text()
    kinds = [
        name
        for name, value in vars(dispatch.errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    ]

    assert [] == [name for name in kinds if f"`{name}`" not in documented and name != "CancelledError"]
