"""Running the programs in `examples/` as a user runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from servers import leftovers

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def examples():
    """The folder."""
    return EXAMPLES


@pytest.fixture(scope="session")
def launch():
    """Starts a program of the examples, with its temporary files in `folder`."""

    def begin(folder, program, *arguments, **environment):
        return subprocess.Popen(
            [sys.executable, EXAMPLES / program, *map(str, arguments)],
            env=os.environ | {"TMPDIR": str(folder)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


@pytest.fixture(scope="session")
def run_in(launch):
    """Runs a program to its end, which must have this status; returns what it printed, and what on stderr.

    Every process that it started must have ended with it.
    """

    def to_the_end(folder, program, *arguments, status=0, **environment):
        before = leftovers.orphans()
        with launch(folder, program, *arguments, **environment) as process:
            try:
                printed, complained = process.communicate(timeout=50)
            finally:
                process.kill()
        assert status == process.returncode, printed + complained
        leftovers.none_but(before, leftovers.orphans)
        return printed, complained

    return to_the_end


@pytest.fixture
def run(run_in, tmp_path):
    """`run_in` the test's own folder."""

    def to_the_end(program, *arguments, **options):
        return run_in(tmp_path, program, *arguments, **options)

    return to_the_end
