"""From one regime to the next: the same files, read again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dispatch import _compose
from dispatch._celery_side import CelerySide
from dispatch._log import logger
from dispatch._regime import Regime
from dispatch.errors import NotConfigured, PolicyError
from dispatch.policy import READY, Policy, load, needs_restart
from dispatch.settings import Settings


def successor(before: Regime, sources: Sequence[str | Path], celery: CelerySide, settings: Settings) -> Regime:
    """What follows `before` by what `sources` say now; `before` itself where they say the same.

    Raises `PolicyError` with every mistake, also with what only a restart can change, and `NotConfigured` without
    sources. Then nothing has changed, and the log says so.
    """
    if not sources:
        raise NotConfigured(
            "there is nothing to read again: the policy in force was given as a Policy, not as files. Name a path, or "
            "the name of a ready one, in dispatch.configure(policy=…) or DISPATCH_POLICY"
        )
    try:
        policy = _changed(before, sources)
    except PolicyError as error:
        logger("policy").error(
            "the policy cannot be reloaded, and the last good one stays in force",
            version=before.policy.version,
            problems=[str(each) for each in error.problems],
        )
        raise
    if policy is None:
        return before
    made = _compose.destinations(policy, celery, settings, before.living)
    _compose.enforce(made, celery)
    named = [str(each) for each in sources]
    logger("policy").info("policy reloaded", sources=named, version=policy.version, before=before.policy.version)
    return Regime(policy, made, before.retiring(policy))


def _changed(before: Regime, sources: Sequence[str | Path]) -> Policy | None:
    policy = load(sources)
    if policy.version == before.policy.version:
        return None
    problems = list(needs_restart(before.settings, policy))
    if problems:
        raise PolicyError(problems)
    return policy


def files(sources: Sequence[str | Path]) -> list[Path]:
    """Those of the sources that somebody may change: the ready policies are none of them."""
    return [Path(each) for each in sources if each not in READY]
