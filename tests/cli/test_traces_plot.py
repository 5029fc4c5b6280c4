"""The drawing of how something is spread."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dispatch.cli._traces_plot import Plot


def drawn(spreads, *, width=80, encoding="utf-8", **console):
    """Its lines, without the spaces at their ends."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=file, width=width, **console).print(Plot(spreads))
    file.flush()
    return file.buffer.getvalue().decode(encoding).splitlines()


def test_each_path_is_a_drawing_of_three_lines_on_one_axis():
    """Its name and its calls beside it, and below all the decades."""
    lines = drawn({"local": [(2.0, 10), (3.0, 5)], "celery": [(800.0, 1)]})

    assert ["local", "15 calls", "", "celery", "1 call", ""] == [line[:9].strip() for line in lines[:6]]
    assert ["1 µs", "10 µs", "100 µs", "1 ms"] == [word.strip() for word in lines[7].split("  ") if word.strip()]
    assert 4 == lines[6].count("┴")


def test_calls_stand_above_their_time():
    """Logarithmic: the middle of a decade is about three."""
    lines = drawn({"local": [(1.0, 1), (10.0, 1), (99.9, 1)]}, width=9 + 7 + 40)

    start, middle, end = (at for at, each in enumerate(lines[2]) if each == "█")
    axis = [at for at, each in enumerate(lines[3]) if each == "┴"]
    assert [start, middle, end + 1] == axis


def test_a_column_is_as_high_as_its_share_of_the_fullest():
    """In eighths of a line; a single call among thousands is still seen."""
    top, middle, bottom = drawn({"local": [(1.0, 2400), (3.0, 1200), (9.0, 1)]})[:3]

    assert "█" == top[top.index("█") :].rstrip()
    assert [8, 4] == [" ▁▂▃▄▅▆▇█".index(each) for each in middle[10:] if each != " "]
    assert [8, 8, 1] == [" ▁▂▃▄▅▆▇█".index(each) for each in bottom[10:] if each != " "]


def test_each_path_is_as_high_as_its_own_fullest_column():
    """A hundred calls are seen beside a million."""
    lines = drawn({"local": [(1.0, 1_000_000)], "celery": [(500.0, 100)]})

    assert "█" in lines[0]
    assert "█" in lines[3]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_it_keeps_to_the_width(width):
    """Whatever the times are, from a nanosecond to a day."""
    lines = drawn({"celery": [(0.0, 1), (0.001, 3), (9e10, 2)]}, width=width)

    assert max(map(len, lines)) <= width
    assert 5 == len(lines)


def test_on_a_terminal_with_ascii_alone_it_is_ascii():
    """Coarser, and the same picture."""
    lines = drawn({"local": [(1.0, 9), (3.0, 3)]}, encoding="ascii")

    assert all(line.isascii() for line in lines)
    assert "#" in lines[0]
    assert "1 us" in lines[4]


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_is_left_out_where_it_is_not_wanted(environment, coloured):
    """On a terminal, with NO_COLOR."""
    lines = drawn({"local": [(1.0, 9)]}, force_terminal=True, _environ={"TERM": "xterm", **environment})

    assert coloured == ("\x1b[32m" in "".join(lines))


def test_without_calls_there_is_nothing_to_draw():
    """And no axis."""
    assert not Plot({"local": []})
