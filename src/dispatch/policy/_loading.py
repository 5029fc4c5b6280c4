"""From files to a policy, or to every mistake in them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from dispatch.errors import PolicyError, Problem
from dispatch.policy._composer import compose
from dispatch.policy._grammar import PolicyFile
from dispatch.policy._mistake import choose
from dispatch.policy._node import Broken, Mapping, Spot, plain
from dispatch.policy._overlay import overlay
from dispatch.policy._policy import Policy
from dispatch.policy._ready import READY, ready
from dispatch.policy._references import references
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
    texts = [(str(source), _read(source, problems)) for source in listed]
    return _policy([(name, text) for name, text in texts if text is not None], problems)


def parse(text: str, name: str = "<text>") -> Policy:
    """The policy in `text`; `name` stands for the file in messages. Raises `PolicyError` with every mistake."""
    return _policy([(name, text)], [])


def _policy(texts: Sequence[tuple[str, str]], problems: list[Problem]) -> Policy:
    merged: Mapping | None = None
    file: PolicyFile | None = None
    for name, text in texts:
        root = _root(text, name, problems)
        if root is None:
            continue
        if merged is None:
            merged = root
        else:
            merged, found = overlay(merged, root)
            problems += found
        # After each file, not only at the end: a mistake that an overlay covers is a mistake all the same.
        file = _checked(merged, problems)
    if problems or merged is None or file is None:
        order = [name for name, _ in texts]
        raise PolicyError(sorted(dict.fromkeys(problems), key=lambda each: _position(each, order)))
    said = json.dumps(plain(merged), separators=(",", ":"))
    version = hashlib.sha256(said.encode()).hexdigest()[:12]
    return Policy(version=version, sources=tuple(name for name, _ in texts), file=file)


def _root(text: str, name: str, problems: list[Problem]) -> Mapping | None:
    node, found = compose(text, name)
    problems += found
    if node is None or isinstance(node, Broken | Mapping):
        return node if isinstance(node, Mapping) else None
    problems.append(
        node.spot.problem(
            "wrong-shape",
            f"a policy is a mapping, and this is {node.shape}",
            "Begin with `version: 1`, then `destinations:`, `defaults:` and `otherwise:`.",
        )
    )
    return None


def _checked(root: Mapping, problems: list[Problem]) -> PolicyFile | None:
    problems += references(root)
    try:
        return PolicyFile.model_validate(plain(root))
    except ValidationError as error:
        problems += translate(error, root)
        return None


def _read(source: str | Path, problems: list[Problem]) -> str | None:
    """The text of one source, or nothing and a problem."""
    name = str(source)
    cure = choose(name, READY, what="Give the path of a file, or the name of a ready policy")
    if not name:
        problems.append(_whole(name, "not-found", "no policy is named", cure))
        return None
    path = ready(name) if isinstance(source, str) and source in READY else Path(source)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        problems.append(_whole(name, "not-found", "there is neither such a file nor a ready policy of this name", cure))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problems.append(_whole(name, "unreadable", f"it cannot be read: {reason}", "Give the path of a readable file."))
    else:
        return _decoded(data, name, problems)
    return None


def _decoded(data: bytes, name: str, problems: list[Problem]) -> str | None:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8-sig", "replace")) + 1
        spot = Spot(name, line, column, repr(data[error.start : error.end])[2:-1])
        problems.append(spot.problem("not-utf-8", "these bytes are not UTF-8", "Save the file as UTF-8."))
        return None


def _whole(name: str, code: str, message: str, cure: str) -> Problem:
    return Spot(name, 1, 1, name).problem(code, message, cure)


def _position(problem: Problem, order: Sequence[str]) -> tuple[int, int, int]:
    place = order.index(problem.file) if problem.file in order else -1
    return (place, problem.line, problem.column)
