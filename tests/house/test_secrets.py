"""Passwords of brokers and backends, keys and arguments are in nothing that dispatch says."""

from __future__ import annotations

import logging

import pytest
import redis

import dispatch
from dispatch.embedded import Server
from dispatch.errors import DispatchError, NotConfigured
from dispatch.policy import parse
from dispatch.settings import Settings, read_settings

MARK = "marker-of-a-secret"
ARGUMENT = "marker-of-an-argument"

POLICY = """
version: 1
destinations:
  queue: {transport: celery, publish_deadline: 1s}
defaults: {durability: ephemeral}
rules: []
otherwise: {route_to: queue}
"""


SHOP = """
    import dispatch

    @dispatch.task
    def whisper(word="nothing"):
        return word

    app = dispatch.celery_app()
"""


@dispatch.task
def whisper(word):
    return word


def addresses(port):
    yield f"redis://user:{MARK}@127.0.0.1:{port}/0"
    yield f"amqp://user:{MARK}@127.0.0.1:{port}//"
    yield f"redis://user:{MARK}@no-such-host.invalid:{port}/0"
    yield f"nonsense://user:{MARK}@127.0.0.1:{port}/0"


def said_about(url, backend, caplog):
    """Everything that a caller can see of a broker that takes nothing."""
    said = []
    settings = Settings(_env_file=None, broker_url=url, result_backend=backend, signing_key=MARK * 2)
    said += [repr(settings), str(settings), settings.model_dump_json()]
    dispatcher = dispatch.Dispatcher(policy=parse(POLICY), settings=settings)
    try:
        for durability in ("ephemeral", "durable"):
            with pytest.raises(DispatchError) as caught:
                whisper.using(dispatcher).options(durability=durability).delay(ARGUMENT)
            error = caught.value
            while error is not None:
                said += [str(error), repr(error)]
                error = error.__cause__ or error.__context__
        said += [repr(dispatcher), repr(dispatcher.statistics())]
    finally:
        dispatcher.shutdown("1s")
    said += [record.getMessage() + (record.exc_text or "") for record in caplog.records]
    return "\n".join(said)


def test_what_a_broker_that_cannot_be_reached_has_us_say_holds_no_secret(closed_port, caplog):
    caplog.set_level(logging.DEBUG)
    for url in addresses(closed_port):
        said = said_about(url, None, caplog)

        assert MARK not in said
        assert ARGUMENT not in said


def test_what_a_server_that_refuses_the_password_has_us_say_holds_no_secret(redis_server, caplog):
    caplog.set_level(logging.DEBUG)
    said = said_about(f"redis://user:{MARK}@127.0.0.1:{redis_server.port}/0", None, caplog)

    assert MARK not in said
    assert ARGUMENT not in said


def test_what_explains_a_call_and_what_a_trace_says_of_it_hold_no_secret(project, redis_url, tmp_path):
    """A call that is published, and the files that its trace is in; a virtual host that nobody has; the doctor."""
    private = redis_url.replace("redis://", f"redis://default:{MARK}@")
    shop = project(SHOP)
    with Server() as server:
        redis.Redis.from_url(server.url).config_set("requirepass", MARK)
        shop.environment.update(
            {
                "DISPATCH_BROKER_URL": f"redis://:{MARK}@127.0.0.1:{server.port}/0",
                "DISPATCH_RESULT_BACKEND": private,
                "DISPATCH_PAYLOAD_STORE": f"redis://:{MARK}@127.0.0.1:{server.port}/1",
                "DISPATCH_TRACE_DIR": str(tmp_path / "traces"),
                "DISPATCH_SIGNING_KEY": MARK * 2,
            }
        )
        ran = shop.run(
            f"""
            import {shop.name} as shop
            import dispatch
            from dispatch.cli import main
            from dispatch.telemetry.calls import recorded

            dispatch.telemetry.setup(service="shop")
            far = shop.whisper.options(only="celery")
            far.delay({ARGUMENT!r})
            print(repr(dispatch.explain(far, {ARGUMENT!r})), dispatch.statistics(), recorded())
            main(["explain", "{shop.name}:whisper", "--json"], standalone_mode=False)
            main(["doctor", "--app", {shop.name!r}, "--fix-hints", "--timeout", "2s"], standalone_mode=False)
            """,
            check=False,
        )
    said = ran.stdout + ran.stderr + "".join(path.read_text() for path in (tmp_path / "traces").iterdir())

    assert "publish" in said
    assert "no-worker" in said
    assert MARK not in said
    assert ARGUMENT not in said


def test_a_wrong_backend_is_named_without_its_password():
    url = f"rpc://u:{MARK}@host//"
    with pytest.raises(DispatchError) as caught:
        dispatch.Dispatcher(
            policy=parse(POLICY),
            settings=Settings(_env_file=None, broker_url="amqp://localhost//", result_backend=url),
        ).celery.app()

    assert MARK not in str(caught.value)


@pytest.mark.parametrize("name", ["DISPATCH_BROKER_URL", "DISPATCH_RESULT_BACKEND"])
@pytest.mark.parametrize("url", [f"redis://:{MARK}/x@host/0", f"redis://:x#{MARK}@host/0", MARK])
def test_an_address_that_cannot_be_read_is_refused_and_not_shown(monkeypatch, name, url):
    """Such as one with a password in it that would have to be percent-encoded."""
    monkeypatch.setenv(name, url)
    with pytest.raises(NotConfigured, match=name) as caught:
        read_settings()

    assert MARK not in str(caught.value)
