"""The application: a Celery app, and its tasks. `celery -A app worker` runs them; the policy says which go there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import dispatch
import index
import sources
import tokens

app = dispatch.celery_app()
dispatch.telemetry.setup(service="stdlib-search")

INDEX = Path(os.environ.get("STDLIB_SEARCH_INDEX", "index.db")).absolute()
"""Segments are written beside it."""


@dispatch.task(latency_budget="250ms")
def read(module: str, path: str) -> sources.Source:
    """The text of one file."""
    return sources.read(module, path)


@dispatch.task(latency_budget="250ms")
def tokenize(source: sources.Source) -> tokens.Document:
    """Its names, strings and comments."""
    return tokens.tokenize_source(source)


@dispatch.task(latency_budget="5s")
def imports(module: str, path: str) -> list[str]:
    """Which modules it imports. That ranks search results, and nobody waits for it."""
    # Reads the file once more: a path travels lighter than a text.
    return tokens.imported_modules(sources.read(module, path))


@dispatch.task
def write_segment(name: str, documents: list[tokens.Document]) -> str:
    """A small index of some documents, in a file of its own."""
    index.write_segment(INDEX.with_name(name), documents)
    return name


@dispatch.task(durability="durable")
def create() -> None:
    """An empty index."""
    index.create(INDEX)


@dispatch.task(durability="durable")
def commit(segment: str) -> int:
    """Make a finished segment part of the index, and say how many documents it brought."""
    return index.merge(INDEX, INDEX.with_name(segment))


@dispatch.task(durability="durable")
def commit_importers(numbers: Mapping[str, int]) -> None:
    """How many modules import each module."""
    index.set_importers(INDEX, numbers)
