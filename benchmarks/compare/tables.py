"""The tables of a run, as rows of text: for a terminal, a page, and the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from benchmarks.compare.plots import seconds, size

Record = Mapping[str, Any]


class Table(msgspec.Struct, frozen=True):
    """A title, the names of its columns, and rows as wide."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        lines = [self.columns, tuple("---" for _ in self.columns), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tables(record: Record) -> Iterator[Table]:
    each = record["contestants"]
    called = {key: one for key, one in each.items() if "throughput" in one}
    if called:
        yield _throughput(called)
        yield _latency(called)
        yield _payload(called)
    held = {key: one["memory"] | {"name": one["name"]} for key, one in each.items() if "memory" in one}
    if held:
        yield _memory(held)
    if "breakdown" in record:
        yield from _breakdown(record["breakdown"])
    if "scarcity" in record:
        yield _scarcity(record["scarcity"])


def _throughput(called: Record) -> Table:
    rows = []
    for one in called.values():
        said = one["throughput"]
        cpu = [said.get(name) for name in ("caller_cpu", "worker_cpu", "broker_cpu")]
        shown = [seconds(value) if value is not None else "" for value in cpu]
        rows.append((one["name"], f"{1 / said['each']:,.0f}", seconds(said["submit"]), seconds(said["each"]), *shown))
    columns = ("", "calls a second", "submit, each", "to the end, each", "CPU: caller", "worker", "broker")
    return Table("throughput", "Calls that do nothing", columns, tuple(rows))


def _latency(called: Record) -> Table:
    rates = [load["rate"] for load in next(iter(called.values()))["latency"]]
    rows = tuple((one["name"], *map(_late, one["latency"])) for one in called.values())
    columns = ("", *(f"{rate:,} a second" for rate in rates))
    return Table("latency", "From the intended moment to the task's first line: p50 · p99", columns, rows)


def _late(load: Record) -> str:
    return "saturated" if load["saturated"] else f"{seconds(load['p50'])} · {seconds(load['p99'])}"


def _payload(called: Record) -> Table:
    sizes = [one["size"] for one in next(iter(called.values()))["payload"]]
    rows = tuple((one["name"], *(seconds(each["each"]) for each in one["payload"])) for one in called.values())
    return Table("payload", "One call with a payload, to its end", ("", *map(size, sizes)), rows)


def _memory(held: Record) -> Table:
    rows = []
    for one in held.values():
        phases = [_phase(one["phases"].get(phase, {})) for phase in ("rest", "waiting", "drained")]
        rows.append((one["name"], *phases, size(max(0.0, one["bytes_each"]))))
    waiting = next(iter(held.values()))["waiting"]
    columns = ("", "at rest", f"{waiting:,} waiting", "drained", "one that waits")
    return Table("memory", "Memory: caller + broker + worker", columns, tuple(rows))


def _phase(look: Mapping[str, int]) -> str:
    return " + ".join(size(look[who]) for who in ("caller", "broker", "worker") if who in look)


def _breakdown(parts: Record) -> Iterator[Table]:
    titles = {"celery": "One `delay()` of Celery on Redis", "dispatch": "One local call of dispatch, to its result"}
    for key, title in titles.items():
        said = parts[key]
        whole = sum(said.values())
        rows = [(name, _signed(value), f"{value / whole:.0%}") for name, value in said.items()]
        rows.append(("**all of it**", seconds(whole), ""))
        yield Table(f"breakdown-{key}", title, ("", "time", "share"), tuple(rows))


def _signed(value: float) -> str:
    return seconds(value) if value >= 0 else f"-{seconds(-value)}"


def _scarcity(seen: list[Record]) -> Table:
    rows = tuple((one["name"], one["limit"], f"{one['accepted']:,}", f"{one['lost']:,}", one["caller"]) for one in seen)
    columns = ("", "what is limited", "accepted", "of these lost", "what the caller sees")
    return Table("scarcity", "When memory runs out", columns, rows)
