"""Servers that import the application, fork, and serve: a small one of our own, and gunicorn."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from servers.patience import eventually
from servers.program import Program, program

APP = """
import json, os, threading
import dispatch
import redis

marks = os.open(os.environ["MARKS"], os.O_WRONLY | os.O_APPEND)

@dispatch.task(only="local")
def mark(word):
    os.write(marks, f"{word}\\n".encode())

@dispatch.task(only="local")
def hold(word):
    os.write(marks, f"started {word}\\n".encode())
    gate = redis.Redis.from_url(os.environ["GATE"])
    gate.blpop("go", timeout=20)
    os.write(marks, f"{word}\\n".encode())

@dispatch.task(only="celery", result=False)
def far(word):
    pass
"""

SERVER = """
import os, signal, socket, sys
from shop import dispatch, far, hold, mark

WORKERS = int(os.environ["WORKERS"])

def answer(request):
    kind, word = request.split()
    if kind == "parent":
        try:
            return before.result(timeout=5)
        except dispatch.HandleLost:
            return "lost"
    handle = {"local": mark, "celery": far, "hold": hold}[kind].delay(word)
    return handle.id

def serve(listening):
    '''One request for each connection, until SIGTERM; a request that has begun is answered.'''
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    listening.settimeout(0.05)
    while not asked:
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            continue
        with connection, connection.makefile("rw") as wire:
            connection.settimeout(5)
            request = wire.readline()
            wire.write(f"{os.getpid()} {answer(request)}\\n")
            wire.flush()
    sys.exit(0)

def spawn():
    pid = os.fork()
    if pid == 0:
        serve(listening)
    children.add(pid)

children = set()
before = hold.delay("parent")        # unfinished when the workers are made
mark.delay("warm").result(timeout=5)
far.delay("warm")
with socket.create_server(("127.0.0.1", 0)) as listening:
    for _ in range(WORKERS):
        spawn()
    stopping = []
    def stop(*_):
        stopping.append(1)
        for pid in children:
            os.kill(pid, signal.SIGTERM)
    signal.signal(signal.SIGTERM, stop)
    print(listening.getsockname()[1], *children, flush=True)
    while children:
        pid, status = os.wait()
        children.discard(pid)
        print("ended", pid, os.waitstatus_to_exitcode(status), flush=True)
        if not stopping:
            spawn()
print("all ended", flush=True)
"""


@pytest.fixture
def shop(tmp_path, redis_url, new_redis_url) -> dict[str, str]:
    """The application's module, on disk, and the environment of its processes."""
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "marks").touch()
    return {
        "DISPATCH_BROKER_URL": redis_url,
        "DISPATCH_POLICY": "default",
        "DISPATCH_SHUTDOWN_GRACE": "20s",
        "GATE": new_redis_url(),
        "MARKS": str(tmp_path / "marks"),
        "PYTHONPATH": str(tmp_path),
        "WORKERS": "3",
    }


def marks(shop) -> list[str]:
    return Path(shop["MARKS"]).read_text().splitlines()


def open_the_gate(shop, times: int) -> None:
    with redis.Redis.from_url(shop["GATE"]) as gate:
        gate.rpush("go", *range(times))


def ask(port: int, request: str) -> tuple[int, str]:
    """A request, and who answered what."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection, connection.makefile("rw") as wire:
        wire.write(f"{request}\n")
        wire.flush()
        pid, text = wire.readline().split(maxsplit=1)
    return int(pid), text.strip()


@contextmanager
def serving(shop, folder: Path) -> Iterator[tuple[Program, int, set[int]]]:
    with program(SERVER, folder, env=shop) as server:
        port, *children = map(int, server.line().split())
        yield server, port, set(children)


def stopped(server: Program) -> list[str]:
    """What the server says of its children's ends."""
    said = []
    while (line := server.line()) != "all ended":
        assert line
        said.append(line)
    return said


def test_every_answered_request_has_had_its_call_run_and_no_id_comes_twice(shop, tmp_path):
    """Local and Celery calls from three children of a parent that had made both; then a stop in order."""
    requests = [f"{kind} {number}" for number in range(60) for kind in ("local", "celery")]
    with serving(shop, tmp_path) as (server, port, children):
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda request: ask(port, request), requests))
        ids = [text for _, text in answers]
        server.terminate()
        ends = stopped(server)
        open_the_gate(shop, 1)

        assert 0 == server.ending()
    assert len(requests) == len(set(ids))
    assert {pid for pid, _ in answers} <= children
    assert sorted(f"ended {pid} 0" for pid in children) == sorted(ends)
    assert {str(number) for number in range(60)} <= set(marks(shop))
    with redis.Redis.from_url(shop["DISPATCH_BROKER_URL"]) as broker:
        queued = [json.loads(each)["headers"]["id"] for each in broker.lrange("dispatch", 0, -1)]
    sent = [text for request, (_, text) in zip(requests, answers, strict=True) if request.startswith("celery")]
    assert set(sent) <= set(queued)
    assert len(sent) + 1 == len(queued)  # and the parent's own


def test_what_the_parent_began_is_lost_to_its_children_and_not_to_the_parent(shop, tmp_path):
    """`HandleLost` there, at once; the parent finishes its call."""
    with serving(shop, tmp_path) as (server, port, _):
        assert "lost" == ask(port, "parent -")[1]
        server.terminate()
        stopped(server)
        open_the_gate(shop, 1)

        assert 0 == server.ending()
    assert 1 == marks(shop).count("parent")


def test_workers_finish_what_they_started_before_they_end(shop, tmp_path):
    """SIGTERM in the middle of calls that were answered already: each runs to its end, and the status is 0."""
    with serving(shop, tmp_path) as (server, port, children):
        answers = [ask(port, f"hold {number}") for number in range(9)]
        eventually(lambda: sum(line.startswith("started") for line in marks(shop)) == 10)
        server.terminate()
        open_the_gate(shop, 10)

        assert sorted(f"ended {pid} 0" for pid in children) == sorted(stopped(server))
        assert 0 == server.ending()
    assert 9 == len(answers)
    assert {str(number) for number in range(9)} <= set(marks(shop))


def test_a_worker_that_was_killed_is_replaced_and_the_new_one_works(shop, tmp_path):
    """Its memory is gone, and with it what it held; nothing of it reaches the next child."""
    with serving(shop | {"WORKERS": "1"}, tmp_path) as (server, port, children):
        (first,) = children
        _, old = ask(port, "local before")
        os.kill(first, signal.SIGKILL)

        assert f"ended {first} -9" == server.line()
        second, new = ask(port, "local after")
        assert first != second
        assert old.split("-")[0] != new.split("-")[0]
        eventually(lambda: "after" in marks(shop))
        server.terminate()
        assert [f"ended {second} 0"] == stopped(server)
        open_the_gate(shop, 1)
        assert 0 == server.ending()


# gunicorn ----------------------------------------------------------------------------------------------------------

WSGI = """
from shop import hold, mark

before = mark.delay("import")        # the master has the application, and a pool at work

def app(environ, start_response):
    kind, word = environ["PATH_INFO"].strip("/").split("/")
    call = {"local": mark, "hold": hold}[kind].delay(word)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [call.id.encode()]
"""


@contextmanager
def gunicorn(shop, folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A real one, with two sync workers and the application preloaded."""
    (folder / "site_app.py").write_text(WSGI)
    log = folder / "gunicorn.log"
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers=2", "--bind=127.0.0.1:0"]
    command += ["--graceful-timeout=20", "--no-control-socket", f"--log-file={log}", *options, "site_app:app"]
    with subprocess.Popen(command, cwd=folder, env=os.environ | shop, text=True, process_group=0) as server:
        try:
            eventually(lambda: log.exists() and log.read_text().count("Booting worker") >= 2, within=20)
            port = int(log.read_text().split("Listening at: http://127.0.0.1:")[1].split()[0])
            yield server, port
        finally:
            if server.poll() is None:  # else its workers have ended before it
                os.killpg(server.pid, signal.SIGKILL)


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        return answer.read().decode()


def test_gunicorns_workers_finish_what_they_started(shop, tmp_path):
    """SIGTERM to the master in the middle of answered calls: each has run when the server is gone."""
    with gunicorn(shop, tmp_path) as (server, port):
        ids = [get(port, f"/hold/{number}") for number in range(6)]
        eventually(lambda: sum(line.startswith("started") for line in marks(shop)) == 6)
        server.terminate()
        open_the_gate(shop, 6)

        assert 0 == server.wait(20)
    assert 6 == len(set(ids))
    assert {str(number) for number in range(6)} <= set(marks(shop))


def test_gunicorns_workers_may_be_recycled_at_every_few_requests(shop, tmp_path):
    """`max_requests`: a worker that leaves takes no answered call with it, and no id comes twice."""
    with gunicorn(shop, tmp_path, "--max-requests=5") as (server, port):
        ids = [get(port, f"/local/{number}") for number in range(40)]
        server.terminate()

        assert 0 == server.wait(20)
    assert 40 == len(set(ids))
    assert len({each.split("-")[0] for each in ids}) > 4
    assert {str(number) for number in range(40)} <= set(marks(shop))
