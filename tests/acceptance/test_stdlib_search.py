"""The main job, `examples/stdlib_search`, with fewer files."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dispatch.embedded import Server
from servers import leftovers

pytestmark = pytest.mark.slow

MAIN = "stdlib_search/main.py"
FILES = 60


@pytest.fixture
def search(run):
    """Runs the job over some files and returns its report."""

    def reported(*arguments, **environment):
        printed, _ = run(MAIN, "--files", FILES, "--json", *arguments, **environment)
        return json.loads(printed)

    return reported


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the temporary files of the run behind `report` are."""
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def report(run_in, folder):
    """What one run with the demo's own policy and broker reports; several tests look at it."""
    words = ("--query", "topics", "--query", "no_such_word_anywhere")
    printed, _ = run_in(folder, MAIN, "--files", FILES, "--json", *words)
    return json.loads(printed)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The folder that `plain` was told to keep."""
    return tmp_path_factory.mktemp("plain") / "kept"


@pytest.fixture(scope="module")
def plain(run_in, kept):
    """What a run prints for people, and what on stderr."""
    return run_in(kept.parent, MAIN, "--files", FILES, "--keep", kept)


def calls_by(report, key):
    """How many calls went each way."""
    counts = {}
    for rule in report["costs"]["rules"]:
        counts[rule[key]] = counts.get(rule[key], 0) + rule["calls"]
    return counts


def test_every_call_is_accounted_for(report):
    """Each file was read, tokenized and searched for imports; each segment was committed; each call left a trace."""
    segments = len(report["segments"])
    assert FILES == report["files"] == sum(report["segments"].values())
    assert segments == -(-FILES // 40)
    # Three for each file; each segment is written and committed; the index is made, and the importers are set.
    assert 3 * FILES + 2 * segments + 2 == report["costs"]["calls"]
    assert report["costs"]["calls"] == sum(calls_by(report, "rule").values())
    assert report["costs"]["calls"] == sum(path["calls"] for path in report["costs"]["paths"])


def test_every_rule_takes_calls_and_both_paths_are_taken(report):
    """What is durable, big, worth the trip or patient goes its own way, and each way's overhead is known."""
    rules = {"must-survive", "too-big-for-the-wire", "worth-the-trip", "can-wait", "otherwise"}
    assert rules == calls_by(report, "rule").keys()
    assert {"local", "celery"} == calls_by(report, "transport").keys()
    assert FILES == calls_by(report, "rule")["can-wait"]
    for path in report["costs"]["paths"]:
        for part in ("decide", "serialize", "enqueue", "wait"):
            quantiles = path["overhead"][part]
            assert 0 <= quantiles["median"] <= quantiles["p99"]


def test_the_index_answers(report):
    """The largest file of all is in every sample, and what stands in it is found."""
    found, nothing = report["queries"]
    assert "pydoc_data.topics" in [hit["module"] for hit in found["hits"]]
    assert "«" in found["hits"][0]["snippet"]
    assert [] == nothing["hits"]


@pytest.mark.parametrize(("policy", "path"), [("policy-local.yaml", "local"), ("policy-celery.yaml", "celery")])
def test_another_policy_moves_the_work(search, examples, policy, path):
    """The program is the same; the work is on the other path, apart from what is durable or too big for it."""
    report = search("--policy", examples / "stdlib_search" / policy)

    durable = calls_by(report, "rule")["must-survive"]
    elsewhere = report["costs"]["calls"] - calls_by(report, "transport")[path]
    assert FILES == sum(report["segments"].values())
    assert elsewhere == durable if path == "local" else elsewhere <= 4


def test_its_own_broker_is_verified(report):
    """It is started with an append-only file, and asked."""
    assert report["broker"]["durability"].startswith("verified")


def test_a_broker_that_keeps_nothing_is_asserted_and_told(run):
    """The overlay is laid over the policy, and the output says so and why."""
    with Server(persist=False) as server:
        printed, _ = run(MAIN, "--files", FILES, DISPATCH_BROKER_URL=server.url)

    assert "durability asserted by asserted.yaml, because: Redis has no append-only file" in printed


@pytest.mark.rabbitmq
def test_it_runs_on_rabbitmq(search, rabbitmq_url):
    """Results, which RabbitMQ does not keep, go to a store of the demo's own."""
    report = search(DISPATCH_BROKER_URL=rabbitmq_url)

    assert report["broker"]["durability"].startswith("verified")
    assert {"local", "celery"} == calls_by(report, "transport").keys()


def test_without_a_terminal_it_prints_plain_lines(plain):
    """No bars and no colours in a file or a pipe, and nothing to complain about."""
    printed, complained = plain

    assert "\x1b" not in printed
    assert "files tokenized: 60 of 60" in printed
    assert "" == complained


def test_the_command_that_it_prints_shows_a_trace(report):
    """The trace of a commit has this process and the worker in one tree."""
    _, *arguments = report["look"].split()

    shown = subprocess.run(
        [Path(sys.executable).with_name("dispatch"), *arguments], capture_output=True, text=True, check=False
    )

    assert 0 == shown.returncode, shown.stderr
    for span in ("dispatch app.commit", "publish stdlib-search", "process app.commit"):
        assert span in shown.stdout


def test_only_the_traces_stay(report, folder):
    """The index and all else in the temporary folder are gone at the end."""
    (made,) = folder.glob("stdlib-search-*")

    assert ["traces"] == [path.name for path in made.iterdir()]


def test_what_is_to_be_kept_is_kept(plain, kept):
    """The folder has the index, the traces and the worker's log."""
    assert {"index.db", "traces", "worker.log"} <= {path.name for path in kept.iterdir()}


def test_a_folder_with_something_in_it_is_not_used(run, tmp_path):
    """It would be mixed up with what is there."""
    (tmp_path / "index.db").touch()

    _, complained = run(MAIN, "--keep", tmp_path, status=1)

    assert "is not empty" in complained


def test_a_bad_policy_is_told_before_anything_is_started(run, tmp_path):
    """With the place of the mistake, and the status of a wrong argument."""
    policy = tmp_path / "bad.yaml"
    policy.write_text("version: 1\ndestinations: {here: {transport: teleport}}\n")

    printed, complained = run(MAIN, "--policy", policy, status=2)

    assert "" == printed
    assert f"{policy}:2:" in complained


def test_it_can_be_stopped_in_the_middle(launch, tmp_path):
    """Ctrl-C ends it soon, with its servers and its folder."""
    before = leftovers.orphans()

    with launch(tmp_path, MAIN) as process:
        for line in process.stdout:
            if "files tokenized" in line:
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)

    leftovers.none_but(before, leftovers.orphans)
    assert 130 == process.returncode
    assert [] == list(tmp_path.glob("stdlib-search-*"))
