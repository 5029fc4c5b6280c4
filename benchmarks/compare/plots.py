"""The pictures: one function for each, from the record of a run to a figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO, StringIO
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

mpl.use("Agg")

INK, MUTED, LINE = "#1f2430", "#6b7280", "#d7dbe2"
_LIGHT_TEXT = "#ffffff"

FAMILY = {"go": "#0072b2", "python": "#6b7280", "dispatch": "#d55e00", "celery": "#009e73"}
"""Okabe and Ito's colours, told apart by people who see fewer of them (jfly.uni-koeln.de/color)."""

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 12,
    "axes.titlecolor": INK,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "text.color": INK,
    "svg.fonttype": "path",
    "svg.hashsalt": "dispatch",
}

Record = Mapping[str, Any]


def family(key: str) -> str:
    if key == "go":
        return "go"
    return "dispatch" if key.startswith(("dispatch", "channel", "local")) else "celery" if "celery" in key else "python"


def seconds(value: float) -> str:
    """As a person reads it."""
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= factor * 0.9995:
            return f"{value / factor:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def size(amount: float) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if amount >= factor * 0.9995:
            return f"{amount / factor:.3g} {unit}"
    return f"{amount:.0f} B"


def _bars(axes: Axes, rows: list[tuple[str, float, str]], show: Callable[[float], str]) -> None:
    """One bar a row, its figure at its end, on a scale where each step is ten times the last."""
    places = range(len(rows))
    axes.barh(places, [value for _, value, _ in rows], color=[colour for _, _, colour in rows], height=0.68)
    axes.set_yticks(places, [name for name, _, _ in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: show(value))
    low, high = min(value for _, value, _ in rows), max(value for _, value, _ in rows)
    axes.set_xlim(low / 3, high * 6)
    for place, (_, value, _) in zip(places, rows, strict=True):
        axes.annotate(show(value), (value, place), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.tick_params(length=0)
    axes.grid(visible=True, axis="x", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)


def throughput(record: Record) -> Figure:
    with _figure(2, width=11, height=4.6) as (figure, (left, right)):
        for axes, what, title in (
            (left, "submit", "What the caller pays for one"),
            (right, "each", "One, from start to end"),
        ):
            rows = [
                (each["name"], each["throughput"][what], FAMILY[family(key)])
                for key, each in record["contestants"].items()
                if "throughput" in each
            ]
            _bars(axes, rows, seconds)
            axes.set_title(title)
        right.set_yticklabels([])
        left.set_xlabel("time per call, log scale")
        right.set_xlabel("time per call, log scale")
    return figure


def latency(record: Record) -> Figure:
    with _figure(2, width=11, height=5.2) as (figure, both):
        for axes, what in zip(both, ("p50", "p99"), strict=True):
            ends = []
            for key, each in record["contestants"].items():
                points = [(load["rate"], load[what]) for load in each.get("latency", ()) if not load["saturated"]]
                if points:
                    rates, values = zip(*points, strict=True)
                    axes.plot(rates, values, color=FAMILY[family(key)], marker="o", markersize=3.5, linewidth=1.5)
                    ends.append((rates[-1], values[-1], each["name"], FAMILY[family(key)]))
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlim(right=3e6)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value <= 1e5 else "")
            axes.yaxis.set_major_formatter(lambda value, _: seconds(value))
            axes.set_title("Half of the calls start within" if what == "p50" else "99 of 100 start within")
            axes.set_xlabel("offered calls per second; a line ends where more cannot be carried")
            axes.grid(visible=True, color=LINE, linewidth=0.6)
            axes.tick_params(length=0, which="both")
            _label(axes, ends)
    return figure


def payload(record: Record) -> Figure:
    with _figure(1, width=9, height=5.2) as (figure, (axes,)):
        ends = []
        for key, each in record["contestants"].items():
            points = [(one["size"], one["each"]) for one in each.get("payload", ())]
            if points:
                sizes, values = zip(*points, strict=True)
                axes.plot(sizes, values, color=FAMILY[family(key)], marker="o", markersize=3.5, linewidth=1.5)
                ends.append((sizes[-1], values[-1], each["name"], FAMILY[family(key)]))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(right=1e8)
        axes.xaxis.set_major_formatter(lambda value, _: size(value) if value <= 1e7 else "")
        axes.yaxis.set_major_formatter(lambda value, _: seconds(value))
        axes.set_title("One call with a payload, from start to end")
        axes.set_xlabel("bytes of text in its argument")
        axes.grid(visible=True, color=LINE, linewidth=0.6)
        axes.tick_params(length=0, which="both")
        _label(axes, ends)
    return figure


def memory(record: Record) -> Figure:
    rows = [
        (each["name"], max(1.0, each["memory"]["bytes_each"]), FAMILY[family(key)])
        for key, each in record["contestants"].items()
        if "memory" in each
    ]
    with _figure(1, width=8, height=4.6) as (figure, (axes,)):
        _bars(axes, rows, size)
        axes.set_title("Memory of one call that waits, in caller and broker")
        axes.set_xlabel("bytes per call, log scale")
    return figure


def breakdown(record: Record) -> Figure:
    with _figure(2, rows=True, width=9, height=3.4) as (figure, both):
        for axes, key, title in (
            (both[0], "celery", "Where one delay() of Celery on Redis goes"),
            (both[1], "dispatch", "Where one local call of dispatch goes, to its result"),
        ):
            parts = record["breakdown"][key]
            whole, left = sum(parts.values()), 0.0
            parts = {name: value for name, value in parts.items() if value > 0}
            shades = [0.95, 0.8, 0.65, 0.5, 0.35, 0.25]
            for (name, value), shade in zip(parts.items(), shades, strict=False):
                colour = FAMILY["celery" if key == "celery" else "dispatch"]
                axes.barh([0], [value], left=left, color=colour, alpha=shade, edgecolor="white", height=0.5)
                if value > whole * 0.035:
                    words = f"{name}\n{seconds(value)}"
                    axes.annotate(words, (left + value / 2, -0.3), ha="center", va="bottom", fontsize=8, rotation=0)
                left += value
            axes.set_xlim(0, sum(parts.values()))
            axes.set_ylim(0.28, -0.62)
            axes.set_yticks([])
            axes.set_xticks([])
            for spine in axes.spines.values():
                spine.set_visible(False)
            axes.set_title(f"{title}: {seconds(whole)}")
    return figure


PICTURES: dict[str, Callable[[Record], Figure]] = {
    "throughput": throughput,
    "latency": latency,
    "payload": payload,
    "memory": memory,
    "breakdown": breakdown,
}


def as_png(figure: Figure) -> bytes:
    held = BytesIO()
    figure.savefig(held, format="png", dpi=130, facecolor="white", metadata={"Software": None})
    return held.getvalue()


def as_svg(figure: Figure) -> str:
    held = StringIO()
    figure.savefig(held, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = held.getvalue()
    return text[text.index("<svg") :]


def _label(axes: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Names in a column at the right, in the order of their lines' ends, each with a thread to its own."""
    low, high = axes.get_ylim()
    beside = axes.get_xlim()[1]
    ordered = sorted(ends, key=lambda end: end[1])
    for place, (x, y, name, colour) in enumerate(ordered):
        at = low * (high / low) ** ((place + 0.5) / len(ordered))
        thread = {"color": colour, "linewidth": 0.5, "alpha": 0.55, "clip_on": False}
        axes.plot([x, beside], [y, at], **thread)
        axes.annotate(name, (beside, at), (4, 0), textcoords="offset points", color=colour, fontsize=8, va="center")
    axes.set_ylim(low, high)
    axes.set_xlim(right=beside)


@contextmanager
def _figure(count: int, *, width: float, height: float, rows: bool = False) -> Iterator[tuple[Figure, list[Axes]]]:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        grid = figure.subplots(count if rows else 1, 1 if rows else count, squeeze=False)
        yield figure, list(grid.flat)
