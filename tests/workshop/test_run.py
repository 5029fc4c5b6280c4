"""How a run of the tests treats the machine it is on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import os
import pytest

@pytest.mark.rabbitmq
def test_with_rabbitmq():
    raise AssertionError("there is none")

def test_without():
    assert not [name for name in os.environ if name.startswith("DISPATCH_")]
"""
LEAVES_A_PROCESS = """
import subprocess
import sys

def test_that_forgets():
    kept.append(subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE))

def test_after():
    pass

kept = []
"""


@pytest.fixture
def run(tmp_path):
    """Runs pytest with our conftest over some source, on a PATH with nothing on it, and gives its exit and output."""

    def run(source: str, **env: str) -> tuple[int, str]:
        file = tmp_path / "test_it.py"
        file.write_text(source)
        command = [sys.executable, "-m", "pytest", "-p", "conftest", "-c", ROOT / "pyproject.toml", file]
        done = subprocess.run(
            [*command, "--rootdir", tmp_path, "-p", "no:cacheprovider"],
            env={**os.environ, "PYTEST_ADDOPTS": "", "PYTHONPATH": str(ROOT / "tests"), "PATH": str(tmp_path), **env},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_without_rabbitmq_its_tests_are_deselected_and_the_last_lines_say_so(run):
    code, output = run(TESTS)

    assert code == 0
    assert "1 passed, 1 deselected" in output.splitlines()[-1]
    assert output.splitlines()[-2] == "deselected 1 tests: no rabbitmq-server on PATH"


def test_where_rabbitmq_is_required_its_absence_fails_the_run(run):
    code, output = run(TESTS, DISPATCH_TEST_REQUIRE="rabbitmq")

    assert code == pytest.ExitCode.USAGE_ERROR
    assert "DISPATCH_TEST_REQUIRE=rabbitmq, and there is no rabbitmq-server on PATH" in output


def test_requiring_what_nobody_knows_fails_the_run(run):
    """A slip of the pen in CI must not pass for a requirement that was met."""
    code, output = run(TESTS, DISPATCH_TEST_REQUIRE="rabitmq")

    assert code == pytest.ExitCode.USAGE_ERROR
    assert "unknown: rabitmq" in output


def test_the_settings_of_the_person_who_starts_it_are_not_seen(run):
    """A run never fills the broker of somebody's shell."""
    code, output = run(TESTS, DISPATCH_BROKER_URL="redis://example.invalid:6379/0")

    assert code == 0, output


def test_a_process_that_is_left_behind_is_an_error(run):
    """It is named, so that its test can be found."""
    code, output = run(LEAVES_A_PROCESS)

    assert code == pytest.ExitCode.TESTS_FAILED
    assert "left behind:" in output
    assert "import sys; sys.stdin.read()" in output  # it ends with the run, whose end of the pipe is closed then
