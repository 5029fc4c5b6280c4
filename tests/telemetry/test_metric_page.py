"""docs/metrics.md says what there is, to the last boundary."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider

from dispatch.settings import Settings
from dispatch.telemetry import follow
from dispatch.telemetry._metrics import _table as m
from dispatch.telemetry._names import DESTINATION, ERROR_TYPE, RULE, TASK, TRANSPORT
from telemetry.metered import meters_in_place

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
WORDS = ("observable counter", "observable up-down counter", "observable gauge", "histogram")
SHORT = {"task": TASK, "destination": DESTINATION, "transport": TRANSPORT}


class Notebook(MeterProvider):
    """Writes down which instruments are made."""

    def __init__(self) -> None:
        super().__init__(shutdown_on_exit=False)
        self.made: dict[str, tuple[str, str]] = {}
        self.boundaries: dict[str, list[float]] = {}

    def get_meter(self, *args, **kwargs):
        meter = super().get_meter(*args, **kwargs)
        for word in (*WORDS, "counter", "up-down counter", "gauge"):
            kind = word.replace(" ", "_").replace("-", "_")
            setattr(meter, f"create_{kind}", partial(self._note, word, getattr(meter, f"create_{kind}")))
        return meter

    def _note(self, word, make, name, unit, description, **more):
        assert description
        assert name not in self.made, "made twice"
        self.made[name] = word, unit
        if "explicit_bucket_boundaries_advisory" in more:
            self.boundaries[name] = list(more["explicit_bucket_boundaries_advisory"])
        return make(name, unit=unit, description=description, **more)


@pytest.fixture(scope="module")
def notebook():
    """What is made where all is wanted."""
    notebook = Notebook()
    with meters_in_place(notebook):
        follow(Settings(metrics="all"))
        yield notebook


def rows(heading: str) -> list[list[str]]:
    """The cells of every table row below a heading that begins with a metric."""
    part = PAGE.split(f"### {heading}\n")[1].split("\n## ")[0].split("\n### ")[0]
    return [
        [cell.strip() for cell in row.strip("|").split("|")] for row in part.splitlines() if row.startswith("| `dis")
    ]


def documented() -> dict[str, list[str]]:
    return {
        row[0].strip("`"): row for each in ("Counters", "Histograms", "Gauges") for row in rows(each) if len(row) == 5
    }


def test_the_page_has_every_instrument_that_is_made_and_no_other(notebook):
    """With its kind and its unit."""
    said = {name: (row[1], row[2].strip("`")) for name, row in documented().items()}

    assert notebook.made == said


def test_the_page_has_the_boundaries(notebook):
    """As they are sent along."""
    said = {
        name: [float(each) for each in row[1].split()]
        for row in rows("Histograms")
        if len(row) == 2
        for name in re.findall(r"`([^`]+)`", row[0])
    }

    assert notebook.boundaries == said


def test_every_attribute_on_the_page_is_one_of_ours():
    """And none that is an id, a version, a host, a process or a worker."""
    known = {TASK, DESTINATION, TRANSPORT, RULE, ERROR_TYPE, m.WHY, m.LEDGER_STATE, m.SPOOL_STATE}
    said = {SHORT.get(word, word) for row in documented().values() for word in re.split(r"[`, ]+", row[3]) if word}

    assert known == said
