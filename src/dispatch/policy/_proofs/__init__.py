"""What can be proved of a policy before any call is made. A proof is exact, or nothing is said."""

from __future__ import annotations

from collections.abc import Iterator

from dispatch.errors import Problem
from dispatch.policy._grammar import PolicyFile
from dispatch.policy._node import Mapping
from dispatch.policy._proofs._dead_rules import dead_rules
from dispatch.policy._proofs._no_effect import no_effect
from dispatch.policy._proofs._refusals import refusals
from dispatch.policy._proofs._subject import Subject


def proofs(file: PolicyFile, root: Mapping, source: str, *, overlay: bool) -> Iterator[Problem]:
    """Everything that is wrong with a policy of which each part is right, after `source` was laid over the others.

    Rules are written for all places that a policy is laid over for: where an overlay leaves one of them without
    calls, or a key without effect, that is not the rule's fault, nor that of whoever wrote the overlay. So rules are
    proved as the first file has them, and of what is without effect only what `source` itself says is reported. But
    a call that nothing takes is a mistake wherever it comes from.
    """
    subject = Subject(file, root)
    if not overlay:
        yield from dead_rules(subject)
    yield from (problem for problem in no_effect(subject) if problem.file == source)
    yield from refusals(subject)
