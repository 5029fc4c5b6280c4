"""The RabbitMQ of the tests is a real one, and can be broken in each way that the tests need."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import kombu
import pytest

from servers.patience import eventually
from servers.process import alive, frozen

pytestmark = pytest.mark.rabbitmq


@contextmanager
def queue(url: str, name: str) -> Iterator[kombu.simple.SimpleQueue]:
    options = {"confirm_publish": True}
    with (
        kombu.Connection(url, transport_options=options) as connection,
        connection.SimpleQueue(name, queue_opts={"durable": True}) as simple,
    ):
        yield simple


def test_a_message_goes_in_and_comes_out(rabbitmq_url, queue_name):
    with queue(rabbitmq_url, queue_name) as simple:
        simple.put({"question": 42})
        message = simple.get(timeout=10)
        message.ack()

    assert message.payload == {"question": 42}


def test_a_node_comes_back_after_a_kill_with_what_it_confirmed(private_rabbitmq, queue_name):
    """The same port, the same folder, the same queue: a broker that crashed and was restarted."""
    with queue(private_rabbitmq.url, queue_name) as simple:
        simple.put("kept")
    url, pid = private_rabbitmq.url, private_rabbitmq.pid

    private_rabbitmq.kill()
    eventually(lambda: not alive(pid), within=1, what="the node is gone")
    private_rabbitmq.start()

    assert private_rabbitmq.url == url
    with queue(url, queue_name) as simple:
        assert simple.get(timeout=10).payload == "kept"


def test_a_frozen_node_is_mute_and_a_thawed_one_answers(private_rabbitmq):
    """It takes the connection, as the kernel does, and does not greet."""
    address = ("127.0.0.1", private_rabbitmq.port)

    with frozen(private_rabbitmq.pid), socket.create_connection(address) as connection:
        connection.sendall(b"AMQP\x00\x00\x09\x01")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)

    with kombu.Connection(private_rabbitmq.url) as connection:
        connection.ensure_connection(max_retries=3)
