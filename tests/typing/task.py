"""Read by mypy and pyright, never run: the signature of a task is the signature of its calls."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, assert_type

import dispatch


@dispatch.task
def thumbnail(image: bytes, width: int) -> bytes:
    return image[:width]


@dispatch.task(durability="durable", latency_budget="2s", tags=["billing"])
def charge(order: int, *, note: str = "") -> str:
    return f"{order}{note}"


async def calls() -> None:
    assert_type(thumbnail(b"", 1), bytes)
    assert_type(thumbnail.delay(b"", 1), dispatch.Handle[bytes])
    assert_type(thumbnail.delay(b"", 1).result(timeout=1), bytes)
    assert_type(await thumbnail.delay(b"", 1), bytes)
    assert_type(await charge.adelay(42, note="x"), dispatch.Handle[str])
    assert_type(await (await charge.adelay(42)), str)
    assert_type(charge.options(latency_budget="10ms").delay(1), dispatch.Handle[str])
    assert_type(charge.apply_async((42,), expires=10), dispatch.Handle[str])
    assert_type(charge.delay(1).decision, dispatch.Decision)
    assert_type(dispatch.explain(charge, 42), dispatch.Explanation)


def mistakes() -> None:
    thumbnail.delay("x")  # type: ignore[call-arg, arg-type] # pyright: ignore[reportCallIssue, reportArgumentType]
    thumbnail.delay(b"", width="1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    charge.delay(1, "note")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    charge.options(durability="forever")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    dispatch.explain(charge)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


channel: dispatch.Channel[int] = dispatch.Channel(3)
channel.send("x")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
assert_type(channel.receive(), int)


async def groups() -> None:
    batch = thumbnail.map([b"", b""], width=64)
    assert_type(batch, dispatch.Group[bytes])
    assert_type(thumbnail.map((each for each in [b""]), 64), dispatch.Group[bytes])
    assert_type(await thumbnail.amap([b""], width=64), dispatch.Group[bytes])
    assert_type(charge.map(range(3), note="x").results(timeout=1), list[str])
    assert_type(batch.results(errors="all"), list[bytes])
    assert_type(batch.results(errors="return"), list[bytes | BaseException])
    assert_type(await batch, list[bytes])
    assert_type(await batch.aresults(errors="return"), list[bytes | BaseException])
    assert_type(batch.progress("thumbnails").results(), list[bytes])
    assert_type(list(batch), list[dispatch.Handle[bytes]])
    assert_type(batch[0].result(), bytes)
    for done in batch.as_completed(timeout=1):
        assert_type(done.result(), bytes)
    async for done in dispatch.as_completed(batch):
        assert_type(await done, bytes)
    assert_type(dispatch.gather(batch[0], batch[1]), dispatch.Group[bytes])
    assert_type(dispatch.gather(batch, list(batch), batch[0]), dispatch.Group[bytes])
    assert_type(await dispatch.gather(charge.delay(1), charge.delay(2)), list[str])
    dispatch.gather(batch, charge.delay(1)).results()


def group_mistakes() -> None:
    thumbnail.map(["x"], width=64)  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
    thumbnail.map([b""])  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    thumbnail.map([b""], width="x")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    dispatch.gather(1)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]


@dispatch.task
async def notify(user: int) -> str:
    return str(user)


@dispatch.task(kind="async", tags=["mail"])
async def remind(user: int, *, again: bool = False) -> None: ...


async def coroutine_calls() -> None:
    assert_type(await notify(1), str)
    later: Coroutine[Any, Any, str] = notify(1)
    assert_type(await later, str)
    assert_type(notify.delay(1), dispatch.Handle[str])
    assert_type(await notify.delay(1), str)
    assert_type(remind.delay(1, again=True), dispatch.Handle[None])
    assert_type(await remind.adelay(1), dispatch.Handle[None])
    assert_type(notify.options(latency_budget="10ms").delay(1), dispatch.Handle[str])
    assert_type(await notify.options(latency_budget="10ms")(1), str)
    assert_type(dispatch.explain(notify, 1), dispatch.Explanation)


async def coroutine_groups() -> None:
    assert_type(notify.map([1, 2]), dispatch.Group[str])
    assert_type(await notify.amap([1, 2]), dispatch.Group[str])


def coroutine_mistakes() -> None:
    notify.delay("x")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    remind.delay(1, "again")  # type: ignore[call-arg, arg-type] # pyright: ignore[reportCallIssue]


def written_out(one: dispatch.Task[[bytes, int], bytes], two: dispatch.Task[[int], str, Any]) -> None:
    assert_type(one.delay(b"", 1), dispatch.Handle[bytes])
    assert_type(two.delay(1), dispatch.Handle[str])


written_out(thumbnail, notify)
