"""How much is broken: a few rounds in every run of the tests, the whole campaign with `make faults`."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def rounds() -> Callable[[int, int], int]:
    """`rounds(few, whole)`: the number for this run."""
    whole_campaign = os.environ.get("FAULTS") == "whole"
    return lambda few, whole: whole if whole_campaign else few


@pytest.fixture
def seed(record_property) -> int:
    """Random, printed, and repeated with `FAULTS_SEED=…`."""
    seed = int(os.environ.get("FAULTS_SEED") or int.from_bytes(os.urandom(4)))
    print(f"repeat with FAULTS_SEED={seed}")
    record_property("seed", seed)
    return seed
