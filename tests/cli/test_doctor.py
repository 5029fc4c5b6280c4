"""`dispatch doctor`: what an operator sees, and how it ends."""

from __future__ import annotations

import json
import re
from pathlib import Path
from threading import Event

import pytest
from click.testing import CliRunner

from cli.burial import bury
from dispatch import _default
from dispatch._finding import Fact, Finding, guarded
from dispatch.cli import _doctor, main
from dispatch.spool import Entry, Spool, Verdict
from dispatch.transports.celery import build_app
from dispatch.transports.celery._registration import withdraw_from
from dispatch.transports.celery.dead import dead_letters
from dispatch.transports.spool import doctor
from servers.process import frozen

pytestmark = pytest.mark.slow  # as a whole

ROOT = Path(__file__).parents[2]
SOURCES = [path.read_text() for path in (ROOT / "src" / "dispatch").rglob("*.py")]
CODE = re.compile(r'\b(?:error|warning|note|make)\(\s*"([a-z-]+)"')

STRANGERS = ("--ignore", "unlimited-eta")
"""Other tests have shared tasks with every app."""

SHOP = """
    import dispatch

    @dispatch.task(durability="durable")
    def charge(order: int) -> str:
        return f"charged {order}"

    @dispatch.task
    def note(text: str) -> str:
        return text

    app = dispatch.celery_app()
"""


@pytest.fixture
def asked(monkeypatch):
    """`asked("--json", …)`, with a dispatcher of the command's own."""
    monkeypatch.setattr(_default, "_default", _default._Default())
    return lambda *arguments: CliRunner().invoke(main, ["doctor", "--timeout", "2s", *arguments])


@pytest.fixture
def spool(tmp_path, monkeypatch):
    """One on a disk, under the policy that has one."""
    monkeypatch.setenv("DISPATCH_APPLICATION", "shop")
    monkeypatch.setenv("DISPATCH_SPOOL_DIR", str(tmp_path / "spool"))
    there = Spool("shop", folder=tmp_path / "spool")
    yield there
    there.close()


def codes(result):
    return {each["code"] for each in json.loads(result.stdout)["findings"]}


def test_every_code_has_a_heading_and_every_heading_a_code():
    """docs/doctor.md and the sources cannot drift apart."""
    used = {code for source in SOURCES for code in CODE.findall(source)}
    used |= {"not-durable", "not-synced"}  # chosen between at one place
    written = set(re.findall(r"^### ([a-z-]+)$", (ROOT / "docs" / "doctor.md").read_text(), re.MULTILINE))

    assert written == used


def test_a_policy_without_a_broker_needs_none(asked):
    """Nothing is connected to, nothing is to mend."""
    said = asked("--policy", "no-broker", "--ignore", "no-application")

    assert (0, "\nnothing to mend\n") == (said.exit_code, said.output)


def test_a_policy_that_needs_a_broker_and_has_none(asked):
    said = asked("--policy", "default", "--json")

    assert 1 == said.exit_code
    assert {"no-broker", "no-application"} == codes(said)


def test_a_broker_that_is_as_it_should_be(asked, redis_url, monkeypatch):
    """But that no worker reads the queue."""
    monkeypatch.setenv("DISPATCH_BROKER_URL", redis_url)
    monkeypatch.setenv("DISPATCH_APPLICATION", "shop")

    said = asked("--json", "--ignore", "spool-not-durable", *STRANGERS)

    assert 1 == said.exit_code
    assert {"no-worker", "no-memory-limit"} == codes(said)
    assert {"code", "severity", "about", "fact", "cure", "hints"} == json.loads(said.stdout)["findings"][0].keys()
    assert "error" == json.loads(said.stdout)["findings"][0]["severity"]


def test_hints_are_printed_where_they_are_asked_for(asked, redis_url, monkeypatch):
    monkeypatch.setenv("DISPATCH_BROKER_URL", redis_url)

    assert "celery -A MODULE worker -Q dispatch" not in asked().output
    assert "celery -A MODULE worker -Q dispatch" in asked("--fix-hints").output


def test_notes_alone_are_fine(asked, redis_url, monkeypatch):
    monkeypatch.setenv("DISPATCH_BROKER_URL", redis_url)
    said = asked("--ignore", "no-worker", "--ignore", "no-application", *STRANGERS)

    assert 0 == said.exit_code
    assert said.output.endswith("1 note\n--fix-hints prints what to paste\n")


def test_an_application_is_compared_with_its_workers(project, redis_url):
    """The whole way of a user: a module, a worker, the command in a process of its own."""
    shop = project(SHOP, broker_url=redis_url)
    with shop.worker(concurrency=1, pool="threads"):
        ran = shop.run(
            f"""
            from dispatch.cli import main
            main(["doctor", "--app", {shop.name!r}])
            """,
            check=False,
        )

    assert 1 == ran.returncode
    assert "a probe was run by" in ran.stdout
    assert "no-durability" in ran.stdout
    assert "no-worker" not in ran.stdout


def test_an_app_that_is_nowhere(asked, monkeypatch):
    monkeypatch.setenv("DISPATCH_CELERY_APP", "nowhere_at_all:app")
    said = asked("--policy", "default")

    assert 2 == said.exit_code
    assert "nowhere_at_all" in said.output


def test_a_password_is_never_printed(asked, closed_port, monkeypatch):
    monkeypatch.setenv("DISPATCH_BROKER_URL", f"redis://shop:hidden-word@127.0.0.1:{closed_port}/0")
    said = asked()

    assert "broker-unreachable" in said.output
    assert "hidden-word" not in said.output


def test_a_broker_that_stands_still_is_no_reason_to_wait(asked, private_redis, monkeypatch):
    """Found before the timeout has passed many times."""
    monkeypatch.setenv("DISPATCH_BROKER_URL", private_redis.url)
    with frozen(private_redis.pid):
        said = CliRunner().invoke(main, ["doctor", "--timeout", "200ms", "--json"])

    assert "broker-unreachable" in codes(said)


def test_an_examination_that_does_not_end_is_ended(asked, monkeypatch):
    """Whatever hangs: the command says so, and comes back."""
    held = Event()

    def hang(*_, **__):
        yield Fact("broker", "reached")
        held.wait()

    monkeypatch.setattr(_doctor, "checkup", hang)
    said = CliRunner().invoke(main, ["doctor", "--policy", "no-broker", "--timeout", "5ms", "--json"])
    held.set()

    assert {"examination-hung"} == codes(said)
    assert "the last thing seen was broker" in said.stdout


def test_a_check_that_fails_is_a_finding_itself():
    """And the others are made."""

    def check():
        yield Fact("disk", "is there")
        raise OSError("and gone")

    fact, failed = guarded("disk", check)

    assert "is there" == fact.said
    assert ("check-failed", "disk") == (failed.code, failed.about)


@pytest.mark.parametrize("timeout", ["soon", "5", "-1s"])
def test_a_timeout_needs_a_unit(asked, timeout):
    said = CliRunner().invoke(main, ["doctor", "--timeout", timeout])

    assert 2 == said.exit_code
    assert "--timeout" in said.output


class TestSpool:
    def test_calls_that_have_waited_long(self, asked, spool, monkeypatch):
        spool.add(Entry(id="1", broker="redis", task="shop.charge", arguments=b"x"))
        monkeypatch.setattr(doctor, "_OLD_NS", 0)

        assert {"spool-old"} <= codes(asked("--policy", "default", "--json"))

    def test_one_that_is_nearly_full(self, asked, spool, monkeypatch):
        spool.add(Entry(id="1", broker="redis", task="shop.charge", arguments=b"x" * 1000))
        monkeypatch.setattr(doctor, "_FULL", 1e-9)

        assert {"spool-nearly-full"} <= codes(asked("--policy", "default", "--json"))

    def test_a_file_that_could_not_be_used(self, asked, spool, tmp_path):
        """Set aside by whoever met it first."""
        spool.add(Entry(id="1", broker="redis", task="shop.charge", arguments=b"x"))
        spool.close()
        spool.path.write_bytes(b"no database at all, and long enough to be looked at" * 100)
        for each in spool.path.parent.glob(f"{spool.path.name}-*"):
            each.unlink()
        Spool("shop", folder=tmp_path / "spool").statistics()

        assert {"spool-set-aside"} <= codes(asked("--policy", "default", "--json"))

    def test_calls_that_are_dead(self, asked, spool):
        """They are dead letters, wherever they are."""
        spool.add(Entry(id="1", broker="redis", task="shop.charge", arguments=b"x"))
        spool.take("redis", "me", count=1, lease=60)
        spool.settle("me", [(Verdict("1", "never", "no such queue"), 0)])

        said = asked("--policy", "default", "--json")

        assert "shop.charge" in next(
            each["fact"] for each in json.loads(said.stdout)["findings"] if each["code"] == "dead-letters"
        )

    @pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no memory file system here")
    def test_a_folder_in_memory(self, asked, monkeypatch):
        """It is empty after a restart of the machine."""
        monkeypatch.setenv("DISPATCH_APPLICATION", "shop")
        monkeypatch.setenv("DISPATCH_SPOOL_DIR", "/dev/shm/dispatch-doctor-test")

        assert {"spool-not-durable"} <= codes(asked("--policy", "default", "--json"))


def test_durable_calls_that_failed_for_good(asked, redis_url, monkeypatch):
    """On the broker."""
    monkeypatch.setenv("DISPATCH_BROKER_URL", redis_url)
    app = build_app(redis_url)
    letters = dead_letters(app)
    bury(letters._ledger, "first")
    letters.close()
    withdraw_from(app)
    app.close()

    said = json.loads(asked("--json").stdout)["findings"]

    assert "1 on redis" in next(each["fact"] for each in said if each["code"] == "dead-letters")


def test_what_is_seen_can_be_told_apart():
    """Findings have a cure, facts have none."""
    assert {"code", "severity", "about", "fact", "cure", "hints"} == set(Finding.__struct_fields__)
