"""`dispatch traces stats`: what a person sees of all calls."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
from rich.console import Console

from cli.tracing import ask, away_from_settings
from dispatch.cli._stats_tables import destinations, paths, ways
from dispatch.telemetry.traces import statistics
from telemetry.written import QUEUE, a_span, handed, local, of, queued, ran, write


@pytest.fixture(autouse=True)
def no_environment(monkeypatch, tmp_path):
    """Neither the machine's settings nor its `.env`."""
    away_from_settings(monkeypatch, tmp_path)


@pytest.fixture
def shop(tmp_path):
    """Six calls: three local ones, of which one failed, two through Celery, and one that nobody took."""
    said = {"latency_budget_us": 50.0, "predicted_start_us": 60.0}
    write(
        tmp_path / "traces" / "t.jsonl",
        *local("l-1", task="shop.crop", overhead_us=2.5, **said),
        *local("l-2", start=10, error="ValueError", overhead_us=3.0),
        *local("l-3", start=20, overhead_us=400.0),
        *queued("q-1", start=30, overhead_us=812.0),
        *queued("q-2", start=40, overhead_us=813.0),
        a_span("dispatch shop.resize", of("r-1"), start=50, error="NotAccepted"),
    )


def section(said, title):
    """The lines below a title, up to the next."""
    lines = said.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(title)) + 1
    return lines[start : next((at for at, line in enumerate(lines[start:], start) if not line), len(lines))]


def printed(table, width):
    out = Console(width=width, file=io.StringIO())
    out.print(table)
    return out.file.getvalue().splitlines()


def test_the_paths_stand_side_by_side(shop):
    """A line for each part, and for each path its median and 99th percentile."""
    asked = ask("stats")
    heading, *lines = section(asked.output, "What each path cost")
    rows = {line[:16].strip(): line[16:].split() for line in lines}

    assert (0, "") == (asked.exit_code, asked.stderr)
    assert ["local", "p50", "p99", "celery", "p50", "p99"] == heading.split()
    assert (["3", "2"], ["1", "0"]) == (rows["calls"], rows["failed"])
    assert ["1", "µs", "1", "µs", "1", "µs", "1", "µs"] == rows["decide"]
    assert pytest.approx([3, 400], rel=0.015) == [float(rows["= overhead"][at]) for at in (0, 2)]
    assert ["40", "µs"] == rows["wait"][:2]
    assert "1 call refused: no destination took it" in lines
    assert "dead letters" not in rows


def test_the_ways_are_told_apart_by_destination_task_and_rule(shop):
    """The busiest first; what nobody took is told too."""
    heading, *lines = section(ask("stats").output, "By destination, task and rule")

    assert heading.split()[:5] == ["destination", "task", "rule", "calls", "failed"]
    assert [
        ["fast", "shop.resize", "otherwise", "2", "1"],
        ["queue", "shop.resize", "must-survive", "2", "0"],
        ["fast", "shop.crop", "otherwise", "1", "0"],
        ["refused", "shop.resize", "1", "1"],
    ] == [line.split()[: 4 if line.startswith("refused") else 5] for line in lines]


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (("--by", "task"), [["shop.resize", "5"], ["shop.crop", "1"]]),
        (("--by", "destination"), [["fast", "3"], ["queue", "2"], ["refused", "1"]]),
        (("--by", "rule", "--destination", "queue"), [["must-survive", "2"]]),
        (("--by", "task", "--errors"), [["shop.resize", "2"]]),
        (("--by", "destination", "--task", "*.crop"), [["fast", "1"]]),
        (("--by", "destination", "--rule", "otherwise"), [["fast", "3"]]),
        (("--by", "rule", "--by", "task"), [["otherwise", "shop.resize", "2"], ["must-survive", "shop.resize", "2"]]),
    ],
)
def test_what_tells_ways_apart_and_which_calls_count_can_be_chosen(shop, arguments, rows):
    """`--by`, and the filters of `list`."""
    _, *lines = section(ask("stats", *arguments).output, "By ")

    assert rows == [line.split()[: len(rows[0])] for line in lines][: len(rows)]


def test_the_list_of_ways_keeps_to_its_limit_and_says_so(shop):
    """The busiest so many."""
    _, *lines, last = section(ask("stats", "--limit", "1").output, "By destination")

    assert (1, "the busiest 1 of 4; --limit shows more") == (len(lines), last)


def test_predictions_are_shown_with_how_far_off_they_were(shop):
    """With their sign: the call began after its budget of 50 µs, and sooner than was said."""
    heading, *lines = section(ask("stats").output, "From the decision to the first line")
    [row, *_] = json.loads(ask("stats", "--json").stdout)["destinations"]

    assert heading.split()[:6] == ["destination", "calls", "failed", "start", "p50", "p99"]
    assert [["fast", "3", "1"], ["queue", "2", "0"], ["refused", "1", "1"]] == [line.split()[:3] for line in lines]
    assert (3, 1, 1) == (row["calls"], row["predicted"], row["late"])
    assert (60.0, -5.0) == (row["predicted_median_us"], row["error_median_us"])
    assert "-5 µs" in lines[0]


def test_dead_letters_and_calls_whose_run_is_not_known_have_lines_of_their_own(tmp_path):
    """Where there are any."""
    made = queued("q-1", error="ValueError")
    made[-1]["attributes"].append({"key": "dispatch.dead_letter", "value": {"stringValue": "failed"}})
    write(tmp_path / "traces" / "t.jsonl", *made, handed("q-2", QUEUE))

    lines = [line.split() for line in section(ask("stats").output, "What each path cost")]

    assert ["dead", "letters", "1"] in lines
    assert ["run", "not", "known", "1"] in lines


def test_json_has_all_of_it_in_microseconds(shop):
    """Paths, ways, destinations, the spread of the overhead, and what could not be read."""
    told = json.loads(ask("stats", "--json", "--by", "task").stdout)

    assert (6, 1, 0, 0) == (told["calls"], told["files"], told["damaged"], told["strangers"])
    assert ["local", "celery", None] == [path["transport"] for path in told["paths"]]
    assert {"count": 3, "p50": 40.0, "p90": 40.0, "p99": 40.0, "largest": 40.0} == told["paths"][0]["wait"]
    assert [("shop.resize", 5, 2), ("shop.crop", 1, 0)] == [
        (way["task"], way["calls"], way["failed"]) for way in told["ways"]
    ]
    assert [1, 1, 1] == [bucket["calls"] for bucket in told["overhead"]["local"]]
    assert [2.5, 3.0, 400.0] == pytest.approx([bucket["us"] for bucket in told["overhead"]["local"]], rel=0.01)


def test_damaged_lines_are_counted_and_the_rest_is_summed_up(shop, tmp_path):
    """On the other stream, and in the JSON."""
    (tmp_path / "traces" / "torn.jsonl").write_text('{"resourceSp\nnot json\n')

    asked = ask("stats", "--json")

    assert 0 == asked.exit_code
    assert "2 lines could not be read and were left out; the first: torn.jsonl:1" in asked.stderr
    told = json.loads(asked.stdout)
    assert (2, 2, 6) == (told["damaged"], told["files"], told["calls"])


def test_runs_of_calls_that_are_elsewhere_are_told_of(tmp_path):
    """The worker's files alone: the caller's are to be put beside them."""
    write(tmp_path / "traces" / "t.jsonl", ran("a-1", QUEUE))

    assert "1 run of calls that are not in these files left out" in ask("stats").stderr


def test_stats_of_nothing_says_how_to_get_some(tmp_path):
    """And is empty lists for programs."""
    said, as_json = ask("stats"), ask("stats", "--json")

    assert (0, 0) == (said.exit_code, as_json.exit_code)
    assert "dispatch.telemetry.setup(" in said.output
    told = json.loads(as_json.stdout)
    assert ([], [], [], {}, 0) == (
        told["paths"],
        told["ways"],
        told["destinations"],
        told["overhead"],
        told["damaged"],
    )


def test_where_no_call_is_wanted_it_is_said(shop):
    """Not that there were none."""
    asked = ask("stats", "--task", "nobody.*")

    assert (0, "") == (asked.exit_code, asked.stdout)
    assert "no call in traces is wanted" in asked.stderr


def test_what_tells_ways_apart_is_one_of_three():
    """Status 2, and what there is."""
    asked = ask("stats", "--by", "colour")

    assert 2 == asked.exit_code
    assert "'destination', 'task', 'rule'" in asked.stderr


@pytest.mark.parametrize("width", [80, 120, 200])
def test_every_table_keeps_to_the_width_of_the_terminal(tmp_path, width):
    """With names as long as they are in life: a name may take two lines, and no number is lost for want of room."""
    task = "billing.invoices.send"
    write(
        tmp_path / "t.jsonl",
        *(span for number in range(9) for span in local(f"l-{number}", task=task, overhead_us=12.34, wait_us=23.45)),
        *queued("q-1", task=task, overhead_us=8765.4, latency_budget_us=1.0, predicted_start_us=1234.0),
    )
    told = statistics(tmp_path)
    tables = [
        *paths(told.by("transport"), width),
        ways(told.by("destination", "task", "rule"), ("destination", "task", "rule"), width),
        destinations(told.starts(), width),
    ]

    for table in tables:
        lines = printed(table, width)
        assert not any("…" in line for line in lines)
        assert 1 + table.row_count == len([line for line in lines if not line.startswith(" " * 12) or "p50" in line])
    assert "12.3 µs" in printed(tables[1], width)[1]
    assert ("decide" in printed(tables[1], width)[0]) == (width > 80)


def test_more_paths_than_fit_stand_below_each_other(tmp_path):
    """On 80 columns there is room for three."""
    write(
        tmp_path / "t.jsonl",
        *(
            span
            for at, transport in enumerate(("local", "celery", "spool", "inline"))
            for span in local(f"c-{at}", transport=transport)
        ),
    )
    rows = statistics(tmp_path).by("transport")

    assert [3, 1] == [(len(table.columns) - 1) // 2 for table in paths(rows, 80)]
    assert [4] == [(len(table.columns) - 1) // 2 for table in paths(rows, 120)]


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_terminal_that_knows_only_ascii_gets_a_drawing_too(shop, tmp_path, encoding):
    """Of dots and crosses."""
    done = subprocess.run(
        [sys.executable, "-c", "from dispatch.cli._traces import traces; traces()", "stats"],
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        cwd=tmp_path,
        timeout=30,
    )

    assert (0, b"") == (done.returncode, done.stderr)
    assert (encoding == "ascii") == done.stdout.isascii()
    assert ("#" if encoding == "ascii" else "█") in done.stdout.decode()
