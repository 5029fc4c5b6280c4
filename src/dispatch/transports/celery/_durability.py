"""The durability of a call in a worker: the call's own word, which travels in a header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dispatch._registry import registry
from dispatch._requirements import Durability

DURABILITY_HEADER = "dispatch-durability"


def durability_of(headers: Mapping[str, Any], task: str) -> Durability:
    """What the header says; without ours (canvas, beat, `send_task`) what the decorator says, else ephemeral.

    A worker never asks a policy: the caller's policy has already spoken, in the header.
    """
    said = headers.get(DURABILITY_HEADER)
    if said == "durable":
        return "durable"
    if said == "ephemeral":
        return "ephemeral"
    spec = registry.get(task)
    return (spec.requirements.durability if spec else None) or "ephemeral"
