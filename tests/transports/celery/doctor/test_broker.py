"""What a doctor finds at a broker, each thing provoked on a real one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

import pytest
import redis

from dispatch.embedded import Server
from dispatch.transports.celery import build_app
from dispatch.transports.celery.doctor import _contents, _crew, _reach, _redis_server
from servers.patience import eventually
from servers.process import frozen
from transports.celery.doctor.patients import facts, found, spec


@pytest.fixture(autouse=True)
def _no_workers(monkeypatch):
    """Nobody is waited for: there are none."""
    monkeypatch.setattr(_crew, "_LISTEN", 0.05)


def configure(server, **settings):
    client = redis.Redis.from_url(server.url)
    for name, value in settings.items():
        client.config_set(name.replace("_", "-"), value)
    return client


class TestTheWay:
    def test_nobody_at_the_address(self, patient, closed_port):
        """Within the timeout, and nothing else is asked."""
        said = found(patient(f"redis://127.0.0.1:{closed_port}/0", seconds=2))

        assert "error" == said["broker-unreachable"].severity
        assert "no-worker" not in said

    def test_somebody_who_never_answers(self, patient, black_hole):
        """A wait that no setting of Celery's bounds as it comes."""
        assert "broker-unreachable" in found(patient(f"redis://127.0.0.1:{black_hole}/0", seconds=0.3))
        assert "broker-unreachable" in found(patient(f"amqp://127.0.0.1:{black_hole}//", seconds=0.3))

    def test_a_server_that_stands_still(self, patient, private_redis):
        with frozen(private_redis.pid):
            assert "broker-unreachable" in found(patient(private_redis.url, seconds=0.3))

    def test_a_wrong_password_for_redis_is_not_printed(self, patient, private_redis):
        configure(private_redis, requirepass="right")
        said = found(patient(f"redis://:wrong-one@127.0.0.1:{private_redis.port}/0"))

        assert "error" == said["broker-refuses-login"].severity
        assert "wrong-one" not in repr(said)

    @pytest.mark.rabbitmq
    def test_a_wrong_password_or_host_for_rabbitmq(self, patient, rabbitmq_server):
        at = f"127.0.0.1:{rabbitmq_server.port}"

        assert "broker-refuses-login" in found(patient(f"amqp://guest:wrong@{at}//"))
        assert "broker-refuses-login" in found(patient(f"amqp://guest:guest@{at}/nowhere"))

    def test_a_way_that_is_too_long_for_a_budget(self, patient, redis_url):
        """Two round trips have to fit."""
        said = found(patient(redis_url, specs=(spec(budget="1us"),)))

        assert "tightest latency budget is 1 µs" in said["broker-slow"].fact

    def test_a_long_way(self, patient, redis_url, monkeypatch):
        monkeypatch.setattr(_reach, "_SLOW", 0.0)

        assert "broker-slow" in found(patient(redis_url))


class TestRedis:
    def test_one_that_is_as_it_should_be(self, patient, private_redis):
        """The healthy: nothing to mend but that nobody reads the queue."""
        configure(private_redis, maxmemory="100mb")
        said = found(patient(private_redis.url, durable=True))

        assert ["no-worker"] == [code for code, each in said.items() if each.severity != "note"]
        assert "keeps durable calls (queue)" in facts(patient(private_redis.url))

    def test_without_an_append_only_file(self, patient, private_redis):
        """An error where durable calls are made, a warning where they might be."""
        configure(private_redis, appendonly="no")

        assert "error" == found(patient(private_redis.url, durable=True))["not-durable"].severity
        assert "warning" == found(patient(private_redis.url))["not-durable"].severity

    def test_what_was_asserted_is_held_against_what_is(self, patient, private_redis):
        assert "needlessly-asserted" in found(patient(private_redis.url, durability="asserted"))

        configure(private_redis, appendonly="no")

        assert "asserted-in-vain" in found(patient(private_redis.url, durability="asserted"))

    def test_fsync_that_is_required_and_not_done(self, patient, private_redis):
        assert "appendfsync everysec" in found(patient(private_redis.url, require="fsync"))["not-synced"].fact

        configure(private_redis, appendfsync="always")

        assert "not-synced" not in found(patient(private_redis.url, require="fsync"))

    def test_a_policy_that_throws_queues_away(self, patient, private_redis):
        configure(private_redis, maxmemory_policy="allkeys-lru")

        assert "error" == found(patient(private_redis.url))["evicts-queues"].severity

    def test_keys_that_it_has_thrown_away(self, patient, private_redis):
        client = configure(private_redis, maxmemory="3mb", maxmemory_policy="volatile-lru")
        for number in range(40):
            client.set(f"key{number}", b"x" * 100_000, ex=1000)

        said = found(patient(private_redis.url))

        assert {"has-evicted", "memory-nearly-full"} <= said.keys()

    def test_memory_that_has_no_limit(self, patient, private_redis):
        assert "note" == found(patient(private_redis.url))["no-memory-limit"].severity

    @pytest.mark.parametrize(("share", "severity"), [(0.87, "warning"), (0.97, "error")])
    def test_memory_that_is_nearly_full(self, patient, private_redis, share, severity):
        client = redis.Redis.from_url(private_redis.url)
        for number in range(300):
            client.set(f"ballast{number}", b"x" * 100_000)
        client.config_set("maxmemory", round(client.info("memory")["used_memory"] / share))

        assert severity == found(patient(private_redis.url))["memory-nearly-full"].severity

    def test_a_replica(self, patient, private_redis):
        with Server() as primary:
            redis.Redis.from_url(private_redis.url).replicaof("127.0.0.1", str(primary.port))
            said = found(patient(private_redis.url))
            redis.Redis.from_url(private_redis.url).replicaof("NO", "ONE")

        assert "error" == said["broker-read-only"].severity

    def test_a_snapshot_that_failed(self, patient, tmp_path):
        """A folder is where its file should be."""
        with Server(tmp_path / "data", persist=False, settings={"dbfilename": "taken.rdb"}) as server:
            client = redis.Redis.from_url(server.url)
            client.set("something", "to save")
            (tmp_path / "data" / "taken.rdb").mkdir(parents=True)
            client.bgsave()
            eventually(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")

            assert "error" == found(patient(server.url))["write-failed"].severity

    def test_one_that_reads_its_file(self, patient, tmp_path):
        """It answers INFO meanwhile, and nothing else."""
        seen = _redis_server._role("broker", {"role": "master", "loading": 1})

        assert ["broker-loading"] == [each.code for each in seen]

    def test_an_old_one(self):
        seen = _redis_server._version("broker", {"redis_version": "5.0.14"})

        assert ["old-server"] == [each.code for each in seen]

    def test_a_clock_that_is_off(self, patient, redis_url, monkeypatch):
        """Ours is put forward: which of the two is wrong, nobody can tell."""
        real = _redis_server.wall
        monkeypatch.setattr(_redis_server, "wall", lambda: real() + 5 * 10**9)

        assert "differ by 5 s" in found(patient(redis_url))["clock-skew"].fact

    def test_a_queue_that_grows(self, patient, redis_url, monkeypatch):
        monkeypatch.setattr(_contents, "_LONG", 3)
        subject = patient(redis_url)
        redis.Redis.from_url(redis_url).lpush(subject.app.conf.task_default_queue, "{}", "{}", "{}")

        assert "3 messages" in found(subject)["queue-long"].fact

    def test_results_that_nobody_reads(self, patient, redis_url, monkeypatch):
        monkeypatch.setattr(_contents, "_MANY_RESULTS", 3)
        client = redis.Redis.from_url(redis_url)
        for number in range(4):
            client.set(f"celery-task-meta-{number}", "{}")

        assert "3 results or more" in found(patient(redis_url))["unread-results"].fact

    def test_a_store_of_results_that_does_not_answer(self, patient, redis_url, closed_port):
        """The broker does."""
        app = build_app(redis_url, f"redis://127.0.0.1:{closed_port}/0")
        said = found(patient(redis_url, app=app))

        assert "error" == said["results-unreachable"].severity

    def test_clients_that_do_not_listen_to_what_they_subscribed(self, patient, private_redis, monkeypatch):
        """As Celery's own delay() does with every result that is wanted."""
        monkeypatch.setattr(_redis_server, "_OUTPUT", 10_000)
        client = redis.Redis.from_url(private_redis.url)
        deaf = client.pubsub()
        deaf.subscribe("results")
        for _ in range(100):  # what the kernel's buffers do not take, waits in the server
            client.publish("results", b"x" * 100_000)

        assert "subscribed to results" in found(patient(private_redis.url))["unread-results"].fact
        deaf.close()

    def test_durable_calls_that_nobody_looks_after(self, patient, redis_url):
        """Due in the ledger for longer than a sweep takes."""
        subject = patient(redis_url)
        client = redis.Redis.from_url(redis_url)
        client.zadd("dispatch:due", {"lost": 1})

        assert "overdue" in found(subject)

    def test_a_server_that_forbids_questions(self, patient, private_redis):
        """What may not be asked is left out, and the rest is asked."""
        client = redis.Redis.from_url(private_redis.url)
        client.acl_setuser(
            "shop",
            enabled=True,
            passwords=["+pw"],
            keys=["*"],
            channels=["*"],
            commands=["+@all", "-config", "-client|list"],
        )

        said = found(patient(f"redis://shop:pw@127.0.0.1:{private_redis.port}/0"))

        assert "not-durable" not in said
        assert "no-worker" in said


@pytest.mark.rabbitmq
class TestRabbitMQ:
    def test_one_that_is_as_it_should_be(self, patient, rabbitmq_url, queue_name):
        subject = patient(rabbitmq_url, durable=True, queue=queue_name)
        declare(subject, queue_name)

        assert ["no-worker"] == [code for code, each in found(subject).items() if each.severity != "note"]

    def test_a_queue_that_is_not_there(self, patient, rabbitmq_url, queue_name):
        """It is looked for, and not made."""
        subject = patient(rabbitmq_url, queue=queue_name)

        assert "note" == found(subject)["no-queue"].severity
        assert "no-queue" in found(subject)

    def test_a_queue_of_another_shape(self, patient, rabbitmq_url, queue_name):
        subject = patient(rabbitmq_url, durable=True, queue=queue_name)
        with subject.app.connection_for_write() as connection:
            connection.default_channel.queue_declare(queue_name, durable=True, auto_delete=False)

        assert "not as the Celery app describes it" in found(subject)["not-durable"].fact

    def test_a_queue_that_grows(self, patient, rabbitmq_url, queue_name, monkeypatch):
        monkeypatch.setattr(_contents, "_LONG", 1)
        subject = patient(rabbitmq_url, queue=queue_name)
        declare(subject, queue_name)
        with subject.app.connection_for_write() as connection:
            channel = connection.default_channel
            channel.confirm_select()
            connection.Producer(channel).publish({}, exchange="", routing_key=queue_name)
            channel.wait_for_confirms() if hasattr(channel, "wait_for_confirms") else None

        assert "queue-long" in found(subject)

    @pytest.mark.slow
    def test_an_alarm(self, patient, private_rabbitmq):
        memory(private_rabbitmq, "0.0000001")
        try:
            said = found(patient(private_rabbitmq.url, seconds=2))
        finally:
            memory(private_rabbitmq, "0.6")

        assert "takes no messages" in said["resource-alarm"].fact
        assert "resource-alarm" not in found(patient(private_rabbitmq.url))


def declare(subject, queue):
    with subject.app.connection_for_write() as connection:
        subject.app.amqp.queues[queue](connection.default_channel).declare()


def memory(node, share):
    """Set the share of memory above which the node raises its alarm."""
    control = Path(which("rabbitmqctl")).resolve().with_name("rabbitmqctl")
    subprocess.run(
        [control, "-n", f"{node._name}@localhost", "set_vm_memory_high_watermark", share],
        env=node._environment(),
        check=True,
        capture_output=True,
    )
