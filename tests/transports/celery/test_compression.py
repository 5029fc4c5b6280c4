"""Large arguments travel compressed, in a form that stock workers read; small ones are not touched."""

from __future__ import annotations

import json
import os
from uuid import uuid4

import pytest
from celery import Celery
from hypothesis import given, settings
from hypothesis import strategies as st
from kombu import Connection
from kombu.compression import decompress

from callers import calling
from dispatch._call import CallOptions
from dispatch.transports.celery.publishing import compressed, encode

LARGE = [{"id": number, "name": "a customer"} for number in range(200)]
JSON = st.recursive(st.none() | st.integers() | st.text(max_size=30), lambda inner: st.lists(inner, max_size=5))


def received(url, queue):
    """What kombu gives a stock worker, and the message's headers."""
    with Connection(url, connect_timeout=10) as connection, connection.channel() as channel:
        queue_of = Celery("stock", broker=url, set_as_current=False).amqp.queues[queue]
        message = queue_of(channel).get(no_ack=True, accept=["json"])
        return message.decode(), message.headers, message.body


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def url(request):
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def queue():
    return f"compressed-{uuid4().hex[:8]}"


@pytest.fixture
def sent(url, queue):
    """Sends one call, and gives what a worker gets of it."""

    def send(*args, options=None, conf=None, **said):
        with calling(url, queue=queue, conf=conf, **said) as caller:
            assert caller.send(caller.call(*args, options=options)) is None
            try:
                return received(url, queue)
            finally:
                with Connection(url) as connection, connection.channel() as channel:
                    channel.queue_delete(queue)

    return send


def test_larger_arguments_are_compressed_on_the_wire_and_read_by_stock_kombu(sent):
    """The header is kombu's, and the bytes are zlib's."""
    (args, _, _), headers, _ = sent(LARGE, compress_over="1KiB")

    assert ([LARGE], "application/x-gzip") == (args, headers["compression"])


def test_smaller_arguments_travel_as_they_are(sent):
    """No header either."""
    (args, _, _), headers, _ = sent(LARGE, compress_over="1MiB")

    assert ([LARGE], None) == (args, headers.get("compression"))


def test_without_the_key_nothing_is_compressed(sent):
    """As before there was one."""
    assert None is sent(LARGE)[1].get("compression")


@pytest.mark.parametrize("options", [{"priority": 3}, {"compression": "bzip2"}], ids=["priority", "own"])
def test_what_celery_makes_itself_is_compressed_once_and_as_the_call_says(sent, options):
    """An option for Celery has it encode the arguments anew; the call's own `compression` wins."""
    (args, _, _), headers, _ = sent(LARGE, compress_over="1KiB", options=CallOptions(celery=options))

    wanted = "application/x-bz2" if "compression" in options else "application/x-gzip"
    assert ([LARGE], wanted) == (args, headers["compression"])


def test_an_app_that_compresses_all_does_not_compress_twice(sent):
    """The app's own choice is for the rest."""
    (args, _, _), headers, _ = sent(LARGE, compress_over="1KiB", conf={"task_compression": "bzip2"})

    assert ([LARGE], "application/x-gzip") == (args, headers["compression"])


def test_exactly_the_limit_is_not_over_it():
    """One byte more is."""
    body = encode((LARGE,), {})

    assert None is compressed(body, body.size).compression
    assert compressed(body, body.size - 1).compressed_size < body.size


def test_what_does_not_get_smaller_is_left_alone():
    """Bytes at random grow under zlib."""
    noise = encode((), {})
    noise.text = noise.plain = os.urandom(4096)
    noise.size = 4096

    assert noise is compressed(noise, 1024)


@settings(max_examples=60, deadline=None)
@given(st.lists(JSON, max_size=4), st.dictionaries(st.text(max_size=5), JSON, max_size=3))
def test_whatever_was_compressed_is_read_back_as_it_was(args, kwargs):
    """And is never larger."""
    body = encode(tuple(args), kwargs)
    small = compressed(body, 1)

    text = small.text if small.compression is None else decompress(small.text, small.compression).decode()
    assert ([args, kwargs], body.size) == (json.loads(text)[:2], small.size)
    assert len(small.text) <= body.size
