"""Arguments that are kept elsewhere while the message carries a claim to them: real brokers, stores and workers."""

from __future__ import annotations

import json
import os
import stat
import zlib

import pytest
import redis
from celery import Celery

from dispatch.errors import NotConfigured
from dispatch.transports.celery._claim import Claim
from dispatch.transports.celery.payloads import keep_for, store_of
from dispatch.transports.celery.payloads._folder import FolderStore
from dispatch.transports.celery.payloads._in_redis import RedisStore

pytestmark = pytest.mark.slow  # as a whole

SHOP = """
    import os
    import signal
    from pathlib import Path
    import dispatch

    @dispatch.task(durability="ephemeral")
    def measure(text: str) -> int:
        return len(text)

    @dispatch.task(durability="ephemeral")
    async def ameasure(text: str) -> int:
        return len(text)

    @dispatch.task(durability="durable", retry=dispatch.Retry(attempts=3, on=(OSError,), backoff="10ms"))
    def second_time(text: str, path: str) -> int:
        if not Path(path).exists():
            Path(path).touch()
            raise OSError("not yet")
        return len(text)

    @dispatch.task(durability="durable")
    def survives(text: str, path: str) -> int:
        if not Path(path).exists():
            Path(path).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return len(text)

    @dispatch.task(durability="durable")
    def fails(text: str) -> int:
        raise LookupError("no such order")

    app = dispatch.celery_app()
"""

POLICY = """
    version: 1
    destinations:
      queue: {transport: celery, durability: asserted, compress_over: 512B, claim_check_over: 1KiB, lease: 2s}
      here: {transport: local}
    defaults: {durability: ephemeral}
    otherwise: {route_to: queue, fallback: [here]}
"""

NOISE = "''.join(map(chr, random.Random(7).choices(range(35, 90), k=20_000)))"
"""In the caller: what hardly gets smaller."""


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def shop(request, project, tmp_path, new_redis_url):
    """A shop on each broker, its payloads in a folder."""
    made = project(SHOP, broker_url=request.getfixturevalue(f"{request.param}_url"), result_backend=new_redis_url())
    return within(made, tmp_path, f"file://{tmp_path}/payloads")


def within(made, folder, store):
    (folder / "policy.yaml").write_text("\n".join(line[4:] for line in POLICY.splitlines()))
    made.environment.update({"DISPATCH_POLICY": str(folder / "policy.yaml"), "DISPATCH_PAYLOAD_STORE": store})
    made.environment["DISPATCH_QUEUE"] = made.name
    return made


def said(shop, program):
    """What a caller prints, as JSON."""
    ran = shop.run(
        f"import json, random\nimport {shop.name} as shop\nNOISE = {NOISE}\n{program}", timeout=60, check=False
    )
    assert 0 == ran.returncode, ran.stderr[-2000:]
    return json.loads(ran.stdout.splitlines()[-1])


def kept(tmp_path):
    """The payloads that are still there, by their sizes."""
    return sorted(path.stat().st_size for path in (tmp_path / "payloads").iterdir())


def test_large_arguments_come_through_a_store_and_are_removed(shop, tmp_path):
    """Functions and coroutines; small arguments travel as ever."""
    with shop.worker(concurrency=1):
        found = said(
            shop,
            """
handles = [shop.measure.delay(NOISE), shop.ameasure.delay(NOISE), shop.measure.delay("small")]
handles.append(shop.measure.apply_async((NOISE,), countdown=0.2))
handles += list(shop.measure.map([NOISE, NOISE]))
print(json.dumps([handle.result(30) for handle in handles]))
""",
        )

    assert [20_000, 20_000, 5, 20_000, 20_000, 20_000] == found
    assert [] == kept(tmp_path)


def test_a_further_attempt_and_a_further_worker_find_them(shop, tmp_path):
    """What a durable call leaves behind is empty: the sign that it has ended."""
    with shop.worker(concurrency=1):
        found = said(
            shop,
            f"""
handles = [shop.second_time.delay(NOISE, {str(tmp_path / "a")!r}), shop.survives.delay(NOISE, {str(tmp_path / "b")!r})]
print(json.dumps([handle.result(60) for handle in handles]))
""",
        )

    assert [20_000, 20_000] == found
    assert [0, 0] == kept(tmp_path)


def test_a_dead_letter_keeps_them(shop, tmp_path):
    """It may be sent again."""
    with shop.worker(concurrency=1):
        found = said(shop, "print(json.dumps(repr(shop.fails.delay(NOISE).exception(30))))")

    assert "no such order" in found
    assert 1 == len(kept(tmp_path))
    assert kept(tmp_path)[0] > 10_000


def test_what_is_gone_or_damaged_is_said_and_not_run(shop, tmp_path):
    """The error names the store and the key; the call is not tried again."""
    found = said(
        shop,
        f"""
from pathlib import Path
gone = shop.measure.delay(NOISE)
for path in Path({str(tmp_path / "payloads")!r}).iterdir():
    path.unlink()
damaged = shop.measure.delay(NOISE)
for path in Path({str(tmp_path / "payloads")!r}).iterdir():
    path.write_bytes(b"something else")
import dispatch.embedded
with dispatch.embedded.worker({shop.name!r}, directory={str(shop.folder)!r}, concurrency=1):
    print(json.dumps([repr(each.exception(30)) for each in (gone, damaged)]))
""",
    )

    assert "PayloadMissing" in found[0]
    assert "are not there" in found[0]
    assert f"{tmp_path}/payloads" in found[0]
    assert "are damaged" in found[1]


def test_a_store_that_takes_nothing_passes_the_destination_over(project, redis_url, tmp_path):
    """A file is where its folder should be. The call runs elsewhere, and the decision says why."""
    (tmp_path / "taken").touch()
    shop = within(project(SHOP, broker_url=redis_url), tmp_path, f"file://{tmp_path}/taken/payloads")
    found = said(
        shop,
        """
handle = shop.measure.delay(NOISE)
passed_over = list(map(repr, handle.decision.passed_over))
print(json.dumps([handle.result(10), handle.decision.destination, passed_over]))
""",
    )

    assert [20_000, "here"] == found[:2]
    assert "could not be stored" in found[2][0]


def test_what_the_broker_refuses_is_removed(project, private_redis, tmp_path):
    """A replica takes nothing; the folder is there, so it was stored before."""
    shop = within(project(SHOP, broker_url=private_redis.url), tmp_path, f"file://{tmp_path}/payloads")
    redis.Redis.from_url(private_redis.url).replicaof("127.0.0.1", "1")
    found = said(shop, "print(json.dumps(shop.measure.delay(NOISE).decision.destination))")

    assert "here" == found
    assert [] == kept(tmp_path)


@pytest.mark.rabbitmq
def test_without_a_store_it_is_not_configured(project, rabbitmq_url, tmp_path):
    """RabbitMQ is none."""
    shop = within(project(SHOP, broker_url=rabbitmq_url), tmp_path, "")
    found = said(
        shop,
        """
handle = shop.measure.delay(NOISE)
print(json.dumps([handle.decision.destination, [repr(each) for each in handle.decision.passed_over]]))
""",
    )

    assert "here" == found[0]
    assert "DISPATCH_PAYLOAD_STORE" in found[1][0]


def test_a_redis_keeps_them_with_an_expiry(project, redis_url, tmp_path):
    """The broker's own, where nobody names another."""
    shop = within(project(SHOP, broker_url=redis_url), tmp_path, "")
    client = redis.Redis.from_url(redis_url)

    said(shop, "shop.measure.delay(NOISE); print(1)")
    (key,) = client.scan_iter("dispatch:payload:*")
    waiting = client.ttl(key)
    with shop.worker(concurrency=1):
        said(shop, "print(shop.measure.delay(NOISE).result(30))")

    assert 29 * 86_400 < waiting <= 30 * 86_400
    assert [] == list(client.scan_iter("dispatch:payload:*"))


class TestFolder:
    def test_a_file_is_its_owners_alone(self, tmp_path):
        """Whatever the process's umask says."""
        before = os.umask(0)
        try:
            FolderStore(tmp_path / "new").put("0" * 32, b"arguments", expires=60, durable=True)
        finally:
            os.umask(before)

        assert 0o700 == stat.S_IMODE((tmp_path / "new").stat().st_mode)
        assert [0o600] == [stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "new").iterdir()]

    def test_what_has_expired_is_swept_by_who_writes(self, tmp_path):
        store = FolderStore(tmp_path)
        store.put("a" * 32, b"old", expires=-1, durable=False)
        FolderStore(tmp_path).put("b" * 32, b"new", expires=60, durable=False)

        assert (None, b"new") == (store.get("a" * 32), store.get("b" * 32))

    def test_half_a_file_is_never_seen(self, tmp_path, monkeypatch):
        """A disk that fails leaves nothing under the name, nor beside it."""

        def fail(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "utime", fail)
        store = FolderStore(tmp_path)
        with pytest.raises(OSError, match="No space"):
            store.put("c" * 32, b"arguments", expires=60, durable=False)

        assert None is store.get("c" * 32)
        assert [] == list(tmp_path.iterdir())


class TestClaim:
    def test_it_is_read_as_it_was_written(self):
        claim = Claim.on(b"stored", 20, compressed=True)

        assert claim == Claim.read(claim.text)

    @pytest.mark.parametrize(
        "text",
        [
            None,
            7,
            "",
            "1;../../etc/passwd;1;" + "0" * 64 + ";plain",
            "2;" + "0" * 32 + ";1;" + "0" * 64 + ";plain",
            "1;" + "0" * 32 + ";-1;" + "0" * 64 + ";plain",
            "1;" + "0" * 32 + ";1;" + "0" * 64 + ";pickle",
        ],
        ids=["none", "number", "empty", "path", "version", "size", "encoding"],
    )
    def test_nothing_else_is(self, text):
        """Least of all a path."""
        with pytest.raises(ValueError, match="cannot be read"):
            Claim.read(text)

    def test_no_more_is_unpacked_than_was_packed(self):
        """A bomb ends where the claim ends."""
        bomb = zlib.compress(b"0" * 10_000_000)
        claim = Claim.on(bomb, 100, compressed=True)

        with pytest.raises(ValueError, match="another size"):
            claim.opened(bomb)


@pytest.mark.parametrize("address", ["memcached://here", "file://host/folder", "file:relative", "https://a/b"])
def test_an_address_that_is_no_store_is_refused_with_the_cure(address):
    app = Celery("shop", broker="redis://127.0.0.1:1/0", set_as_current=False)
    keep_for(app, address)

    with pytest.raises(NotConfigured, match="file:///a/shared/folder"):
        store_of(app)


def test_a_store_never_tells_its_password():
    assert "redis at host:6380" == RedisStore("redis://:secret@host:6380/1", seconds=1, name="redis at host:6380").name
    app = Celery("shop", broker="redis://:secret@127.0.0.1:1/0", set_as_current=False)
    keep_for(app, None)

    assert "redis at 127.0.0.1:1" == store_of(app).name
