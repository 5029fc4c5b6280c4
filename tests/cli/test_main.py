"""The command as a whole: how it is started, and how it ends when something is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points, version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import dispatch
from dispatch import _default
from dispatch.cli import main

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"


@pytest.fixture(autouse=True)
def _no_dispatcher_yet(monkeypatch):
    """The command is the first in its process to need one."""
    monkeypatch.setattr(_default._default, "dispatcher", None)
    yield
    dispatch.shutdown("1s")


def run(*arguments, **environment):
    return CliRunner().invoke(main, arguments, env=environment)


def python(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from commands(command)
        else:
            yield command


def test_it_is_installed_as_dispatch():
    """The console script and the door are the same command."""
    [script] = entry_points(group="console_scripts", name="dispatch")

    assert main is script.load()


def test_python_m_dispatch_is_the_same_command(tmp_path):
    """Where no script is on PATH."""
    told = python("-m", "dispatch", "--version", cwd=tmp_path)

    assert (0, f"dispatch, version {version('dispatch-router')}\n") == (told.returncode, told.stdout)


def test_importing_it_imports_no_celery(tmp_path):
    """`dispatch check` in an editor must not pay for Celery."""
    code = "import sys, dispatch.cli; sys.exit(any(name.split('.')[0] in ('celery', 'kombu') for name in sys.modules))"

    assert 0 == python("-c", code, cwd=tmp_path).returncode


@pytest.mark.parametrize("command", list(commands(main)), ids=lambda command: command.name)
def test_every_command_speaks_json(command):
    """What people read, programs can read too."""
    assert any("--json" in parameter.opts for parameter in command.params)


@pytest.mark.parametrize("command", main.commands.values(), ids=lambda command: command.name)
def test_every_command_says_in_one_line_what_it_does(command):
    """The list of commands shows whole sentences."""
    assert not command.get_short_help_str(limit=69).endswith("...")


@pytest.mark.parametrize("command", main.commands.values(), ids=lambda command: command.name)
def test_every_command_and_every_option_is_documented(command):
    """One that nobody wrote about fails here."""
    documented = DOCUMENT.read_text()
    leaves = list(commands(command)) if isinstance(command, click.Group) else [command]
    options = {name for leaf in leaves for parameter in leaf.params for name in parameter.opts if "-" in name}

    assert f"\n## dispatch {command.name}\n" in documented
    assert [] == [name for name in sorted(options) if f"`{name}" not in documented]


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("DISPATCH_TELEMETRY", "loud", "DISPATCH_TELEMETRY: Input should be 'auto' or 'off'"),
        ("DISPATCH_POLICY", "nowhere.yaml", "nowhere.yaml:1:1: not-found: "),
    ],
)
@pytest.mark.parametrize("command", [("check",), ("explain", "dispatch.cli._demo_tasks:charge", "--args", "[1]")])
def test_a_wrong_setting_ends_with_status_2_and_names_it(command, variable, value, says):
    """A sentence, and no traceback."""
    asked = run(*command, **{variable: value})

    assert 2 == asked.exit_code
    assert says in asked.output
    assert isinstance(asked.exception, SystemExit)


def test_a_celery_app_that_is_not_to_be_had_ends_with_status_2(tmp_path):
    """`NotConfigured` is the fault of a setting, too."""
    told = python(
        *("-m", "dispatch", "explain", "dispatch.cli._demo_tasks:charge", "--args", "[1]"),
        cwd=tmp_path,
        DISPATCH_CELERY_APP="shop",
    )

    assert 2 == told.returncode
    assert told.stderr.startswith("Error: DISPATCH_CELERY_APP='shop' is not understood")
    assert "Traceback" not in told.stderr


def test_a_terminal_that_knows_only_ascii_gets_an_answer(tmp_path):
    """Question marks for arrows, not a traceback."""
    told = python("-m", "dispatch", "check", "default", cwd=tmp_path, PYTHONIOENCODING="ascii")

    assert (0, "") == (told.returncode, told.stderr)
    assert "? queue, then fast" in told.stdout
