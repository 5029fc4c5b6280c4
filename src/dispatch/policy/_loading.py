"""From files to a policy, or to every mistake in them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from dispatch.errors import PolicyError, Problem
from dispatch.policy._grammar import PolicyFile
from dispatch.policy._node import Mapping, plain
from dispatch.policy._overlay import overlay
from dispatch.policy._policy import Policy
from dispatch.policy._references import references
from dispatch.policy._source import in_order, read, root_of
from dispatch.policy._translation import translate


def load(sources: str | Path | Sequence[str | Path]) -> Policy:
    """The policy in these files, each later one laid over the earlier ones.

    A source is the name of a ready policy or a path; write `./default` for a file that is named like a ready
    policy. Raises `PolicyError` with every mistake in all of them.
    """
    listed = [sources] if isinstance(sources, str | Path) else list(sources)
    if not listed:
        listed = [""]
    problems: list[Problem] = []
    texts = [(str(source), read(source, problems)) for source in listed]
    return _policy([(name, text) for name, text in texts if text is not None], problems)


def parse(text: str, name: str = "<text>") -> Policy:
    """The policy in `text`; `name` stands for the file in messages. Raises `PolicyError` with every mistake."""
    return _policy([(name, text)], [])


def _policy(texts: Sequence[tuple[str, str]], problems: list[Problem]) -> Policy:
    merged: Mapping | None = None
    file: PolicyFile | None = None
    for name, text in texts:
        root = root_of(text, name, problems)
        if root is None:
            continue
        above = merged is not None
        if merged is None:
            merged = root
        else:
            merged, found = overlay(merged, root)
            problems += found
        # After each file, not only at the end: a mistake that an overlay covers is a mistake all the same.
        file = _checked(merged, problems)
        if file is not None and not problems:
            problems += _proved(file, merged, name, above=above)
    if problems or merged is None or file is None:
        order = [name for name, _ in texts]
        raise PolicyError(in_order(problems, order))
    said = json.dumps(plain(merged), separators=(",", ":"))
    version = hashlib.sha256(said.encode()).hexdigest()[:12]
    return Policy(version=version, sources=tuple(name for name, _ in texts), file=file, root=merged)


def _checked(root: Mapping, problems: list[Problem]) -> PolicyFile | None:
    problems += references(root)
    try:
        return PolicyFile.model_validate(plain(root))
    except ValidationError as error:
        problems += translate(error, root)
        return None


def _proved(file: PolicyFile, root: Mapping, name: str, *, above: bool) -> Iterator[Problem]:
    # Here for the reason that the composer is: wanted where a policy is read, and not before.
    from dispatch.policy._proofs import proofs  # noqa: PLC0415

    return proofs(file, root, name, overlay=above)
