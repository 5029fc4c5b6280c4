"""The ports and wires that misbehave on purpose do what their names say."""

from __future__ import annotations

import socket
from time import monotonic

import pytest
import redis

from servers.patience import eventually
from servers.process import frozen


def test_a_closed_port_refuses(closed_port):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", closed_port), timeout=1)


def test_a_black_hole_takes_the_call_and_says_nothing(black_hole):
    with socket.create_connection(("127.0.0.1", black_hole), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_a_frozen_redis_is_mute_and_a_thawed_one_answers(private_redis):
    with redis.Redis.from_url(private_redis.url, socket_timeout=0.1, retry=None) as client:
        assert client.ping()
        with frozen(private_redis.pid), pytest.raises(redis.TimeoutError):
            client.ping()
        assert eventually(client.ping)


@pytest.fixture
def client(redis_proxy):
    with redis.Redis(port=redis_proxy.port, socket_timeout=0.2, retry=None) as client:
        yield client


def test_a_proxy_passes_what_it_is_given(client):
    payload = b"x" * 1_000_000
    client.set("large", payload)

    assert client.get("large") == payload


def test_a_cut_wire_breaks_the_connection_and_refuses_the_next(redis_proxy, client):
    assert client.ping()
    redis_proxy.cut()

    with pytest.raises(redis.ConnectionError):
        client.ping()
    with pytest.raises(redis.ConnectionError, match="refused"):
        client.ping()

    redis_proxy.restore()
    assert client.ping()


def test_a_mute_wire_keeps_the_connection_and_passes_nothing(redis_proxy, client):
    assert client.ping()

    with redis_proxy.mute(), pytest.raises(redis.TimeoutError):
        client.ping()

    assert client.ping()


def test_a_slow_wire_is_late_both_ways(redis_proxy, client):
    redis_proxy.delay = 0.05
    begun = monotonic()

    assert client.ping()
    assert monotonic() - begun >= 0.1


def test_a_wire_with_a_fuse_is_reset_once_in_the_middle_of_a_message(redis_proxy, client):
    client.set("word", "there")
    redis_proxy.fuse = 10

    with pytest.raises(redis.ConnectionError, match="reset by peer"):
        client.set("word", "x" * 1000)
    assert b"there" == client.get("word")


def test_a_wire_may_pass_a_byte_at_a_time(redis_proxy):
    with redis.Redis(port=redis_proxy.port, retry=None) as client:
        assert client.ping()
        redis_proxy.delay, redis_proxy.chunk = 0.01, 1
        begun = monotonic()

        assert client.ping()
        assert monotonic() - begun >= 0.1


def test_each_test_gets_a_redis_with_nothing_in_it(new_redis_url):
    with redis.Redis.from_url(new_redis_url()) as one, redis.Redis.from_url(new_redis_url()) as other:
        one.set("word", "here")

        assert other.dbsize() == 0


def test_patience_has_an_end():
    with pytest.raises(AssertionError, match=r"not within 0\.05 s: the sun rises"):
        eventually(lambda: False, within=0.05, what="the sun rises")
