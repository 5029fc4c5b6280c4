"""Which tasks exist, and who hears of them."""

from __future__ import annotations

import msgspec
import pytest

from dispatch import Retry
from dispatch._registry import Registry, TaskSpec
from dispatch._requirements import Requirements, strongest


def spec(name: str, function=len) -> TaskSpec:
    return TaskSpec(name=name, function=function, signature=function, requirements=Requirements())


def test_a_listener_hears_of_tasks_declared_before_and_after_it_came():
    """All so far at once, later ones as they are declared."""
    registry, heard = Registry(), []
    before, after = spec("shop.a"), spec("shop.b")
    registry.declare(before)

    registry.subscribe(heard.append)
    registry.declare(after)

    assert [before, after] == heard


def test_a_listener_that_left_hears_nothing_more():
    """`unsubscribe` ends it; leaving twice is fine."""
    registry, heard = Registry(), []
    registry.subscribe(heard.append)
    registry.unsubscribe(heard.append)
    registry.unsubscribe(heard.append)

    registry.declare(spec("shop.a"))

    assert [] == heard


def test_two_functions_cannot_share_a_name():
    """The second declaration fails, naming both places and the cure."""
    registry = Registry()
    registry.declare(spec("shop.a", len))

    with pytest.raises(ValueError, match=r"builtins\.len and builtins\.abs.*name=") as caught:
        registry.declare(spec("shop.a", abs))

    assert "two tasks are named 'shop.a'" in str(caught.value)


def test_declaring_the_same_function_again_replaces_it():
    """A module that is reloaded declares its tasks anew."""
    registry = Registry()
    again = spec("shop.a")
    registry.declare(spec("shop.a"))

    registry.declare(again)

    assert again is registry.get("shop.a")
    assert [again] == list(registry)


def test_durability_is_never_lowered():
    """The strongest of all who spoke wins; silence is no word."""
    assert "durable" == strongest("ephemeral", "durable", None)
    assert "ephemeral" == strongest(None, "ephemeral")
    assert strongest(None, None) is None


def test_requirements_laid_over_others_keep_the_strongest_durability_and_the_last_word_else():
    """`options` may raise durability and change the budget; it cannot make a durable task ephemeral."""
    task = Requirements.of(durability="durable", latency_budget="2s")

    together = task.strengthened(Requirements.of(durability="ephemeral", latency_budget="10ms", only="celery"))

    assert Requirements.of(durability="durable", latency_budget="10ms", only="celery") == together


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"durability": "forever"}, "durability='forever' is not known: it takes 'ephemeral' or 'durable'"),
        ({"only": "spool"}, "only='spool' is not known: it takes 'local' or 'celery'"),
        ({"latency_budget": "10"}, "latency_budget: '10' is not a duration"),
        ({"latency_budget": -1}, "latency_budget: -1 is not a duration"),
    ],
)
def test_a_requirement_that_means_nothing_is_refused_by_name(words, message):
    """The parameter, what it was, and what it takes."""
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        Requirements.of(**words)


@pytest.mark.parametrize("limits", [{"expires_ns": 1}, {"timeout_ns": 1}, {"retry": Retry()}])
def test_a_task_knows_whether_its_attempts_have_anything_to_be_asked(limits):
    """Also when it was made from another: one look tells a plain call from all others."""
    plain = spec("shop.a")
    limited = msgspec.structs.replace(plain, **limits)
    back = msgspec.structs.replace(limited, **dict.fromkeys(limits))

    assert [False, True, False] == [plain.limited, limited.limited, back.limited]
