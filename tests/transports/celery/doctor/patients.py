"""Patients, and what is found when they are examined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispatch._finding import Fact, Finding
from dispatch._registry import TaskSpec
from dispatch._requirements import Requirements
from dispatch._signature import mirror
from dispatch.transports.celery.doctor import Subject, examine

Found = dict[str, Finding]


def charge(order: int) -> str:
    return f"charged {order}"


def spec(function: Callable[..., Any] = charge, **said: Any) -> TaskSpec:
    requirements = Requirements.of(durability=said.pop("durability", None), latency_budget=said.pop("budget", None))
    name = said.pop("name", f"shop.{function.__name__}")
    return TaskSpec(name=name, function=function, signature=mirror(function), requirements=requirements, **said)


def found(subject: Subject) -> Found:
    """The findings by their codes."""
    return {each.code: each for each in examine(subject) if isinstance(each, Finding)}


def facts(subject: Subject) -> list[str]:
    return [each.said for each in examine(subject) if isinstance(each, Fact)]
