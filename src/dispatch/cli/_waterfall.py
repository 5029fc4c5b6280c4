"""One trace as a person reads it: a tree, a bar for each span, and beside ours the decision and its price."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from dispatch._units import show_duration, show_size
from dispatch.telemetry.traces import Span, Trace

_DURATION = 9
_SHORTEST_BAR = 8
_LONGEST_BAR = 48
_PREFIX = 8


class Waterfall:
    """Printed with `Console.print`; as wide as the console."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._rows = [(span, _guides(path, span, trace)) for span, path in trace.walk()]
        self._several = len(trace.processes) > 1

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        names = max(len(first) + len(span.name) for span, (first, _) in self._rows)
        places = max(len(str(span.process)) for span, _ in self._rows) + 2 if self._several else 0
        rest = options.max_width - places - _DURATION - 2
        name_width = min(names, max(rest - _SHORTEST_BAR, rest * 3 // 5)) + 2
        bar_width = min(max(_SHORTEST_BAR, rest - name_width), _LONGEST_BAR)
        for span, (first, below) in self._rows:
            line = Text(no_wrap=True, overflow="ellipsis")
            line.append(_cell(Text.assemble((first, "dim"), (plain(span.name), _style(span))), name_width))
            if self._several:
                line.append(_cell(Text(plain(str(span.process)), "dim"), places))
            line.append(self._bar(span, bar_width))
            line.append(f"{show_duration(span.duration_ns):>{_DURATION}}")
            yield line
            for note in _notes(span, self._trace):
                for wrapped in note.wrap(console, max(20, options.max_width - len(below))):
                    yield Text.assemble((below, "dim"), wrapped)

    def _bar(self, span: Span, width: int) -> Text:
        whole = max(1, self._trace.duration_ns)
        left = min(width - 1, int((span.start_ns - self._trace.start_ns) * width / whole))
        length = max(1, min(width - left, round(span.duration_ns * width / whole)))
        return Text.assemble(" " * left, ("█" * length, _style(span)), " " * (width - left - length))


def _guides(path: tuple[bool, ...], span: Span, trace: Trace) -> tuple[str, str]:
    """What stands before the span's name, and before the notes below it."""
    trunk = "".join("   " if last else "│  " for last in path[:-1])
    own = ("└─ " if path[-1] else "├─ ") if path else ""
    under = ("   " if path[-1] else "│  ") if path else ""
    return trunk + own, trunk + under + ("│  " if trace.children(span) else "   ")


def _cell(text: Text, width: int) -> Text:
    text.truncate(width - 1, overflow="ellipsis")
    text.pad_right(width - len(text))
    return text


def _style(span: Span) -> str:
    if span.status == "error":
        return "red"
    return _STYLES.get(span.name.partition(" ")[0], "")


_STYLES = {
    "map": "magenta",
    "dispatch": "cyan",
    "publish": "blue",
    "forward": "blue",
    "execute": "green",
    "process": "green",
}


def _notes(span: Span, trace: Trace) -> Iterator[Text]:
    said, is_root = span.said, span in trace.roots
    # The worker's span repeats the decision for those who have nothing but the worker's file.
    whole = is_root or span.is_call
    for note in (_decision(said) if whole else [], _price(said) if whole else [], _map(said), _delay(said)):
        if note:
            yield Text(" · ".join(note), "dim")
    if is_root and span.call_id:
        for linked in dict.fromkeys(trace_id for trace_id, _ in span.links if trace_id != span.trace_id):
            yield Text(f"called in trace {linked[:_PREFIX]}…", "yellow")
    for other in dict.fromkeys(child.trace_id for child in trace.children(span) if child.trace_id != span.trace_id):
        yield Text(f"continued in trace {other[:_PREFIX]}…", "yellow")
    if reason := said.get("dispatch.dead_letter"):
        yield Text(plain(f"✗ became a dead letter: {reason}"), "red")
    if span.status == "error":
        yield Text("✗ " + _error(span), "red")


def _decision(said: dict[str, Any]) -> list[str]:
    notes = []
    if "dispatch.destination" in said:
        notes.append(f"→ {said['dispatch.destination']} ({said.get('dispatch.transport')})")
        notes.append(f"rule {said.get('dispatch.rule')}")
        if said.get("dispatch.reason") == "pinned":
            notes.append("pinned by the caller")
    if isinstance(passed := said.get("dispatch.passed_over"), list):
        notes.append("passed over " + ", ".join(map(str, passed)))
    if "dispatch.durability" in said:
        notes.append(str(said["dispatch.durability"]))
    if isinstance(budget := said.get("dispatch.latency_budget_us"), float | int):
        notes.append(f"budget {show_duration(budget * 1e3)}")
    if isinstance(predicted := said.get("dispatch.predicted_start_us"), float | int):
        notes.append(f"predicted to start in {show_duration(predicted * 1e3)}")
    if isinstance(size := said.get("dispatch.payload.bytes"), int):
        notes.append(f"payload {show_size(size)}")
    if "dispatch.policy.version" in said:
        notes.append(f"policy {said['dispatch.policy.version']}")
    return [plain(note) for note in notes]


def _price(said: dict[str, Any]) -> list[str]:
    split = " + ".join(_times(said, "decide", "serialize", "enqueue"))
    price = " = ".join([*_times(said, "overhead"), *([split] if split else [])])
    return [price] if price else []


def _delay(said: dict[str, Any]) -> list[str]:
    delay = _times(said, "wait", "start")
    if isinstance(attempt := said.get("dispatch.attempt"), int):
        delay.append(f"attempt {attempt}")
    if said.get("dispatch.clock.skewed") is True:
        delay.append("the sender's clock is ahead")
    return delay


def _map(said: dict[str, Any]) -> list[str]:
    if not isinstance(calls := said.get("dispatch.map.calls"), int):
        return []
    notes = [f"{calls} call{'' if calls == 1 else 's'}"]
    if isinstance(sent := said.get("dispatch.map.sent"), int) and sent != calls:
        notes.append(f"{sent} handed over")
    if isinstance(places := said.get("dispatch.map.destinations"), list):
        notes.append("→ " + ", ".join(" ".join(str(each).rsplit(":", 1)) for each in places))
    return [plain(note) for note in notes]


def _times(said: dict[str, Any], *names: str) -> list[str]:
    values = ((name, said.get(f"dispatch.{name}_us")) for name in names)
    return [f"{name} {show_duration(value * 1e3)}" for name, value in values if isinstance(value, float | int)]


def _error(span: Span) -> str:
    kind, message = span.attributes.get("error.type", ""), span.message
    for event in span.events:
        if event.name == "exception":
            kind, message = (event.attributes.get(f"exception.{key}", "") for key in ("type", "message"))
    words = f"{kind}: {message}" if kind and message else f"{kind or message or 'failed'}"
    return plain(" ".join(words.split()))


def plain(text: str) -> str:
    """`text` without what could steer a terminal: a trace file may come from a stranger."""
    return "".join(each if each.isprintable() else " " for each in text)
