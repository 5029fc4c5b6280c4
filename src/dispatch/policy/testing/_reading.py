"""From a file of cases to cases and the policy that they are about, or to every mistake in them."""

from __future__ import annotations

from pathlib import Path

import msgspec
from pydantic import ValidationError

from dispatch.errors import PolicyError, Problem
from dispatch.policy._loading import load
from dispatch.policy._node import Listing, Mapping, Spot, plain
from dispatch.policy._policy import Policy
from dispatch.policy._ready import READY
from dispatch.policy._source import decoded, in_order, root_of, unreadable, whole
from dispatch.policy._translation import translate
from dispatch.policy.testing._grammar import GRAMMAR, Case, CaseFile
from dispatch.policy.testing._references import references

SUFFIX = "_test"
"""`default_test.yaml` stands beside `default.yaml`."""


class Cases(msgspec.Struct, frozen=True, eq=False):
    """What one file says, and the policy that it is about."""

    file: str
    policy: Policy
    cases: tuple[Case, ...]
    spots: tuple[Spot, ...]
    """Where each of them stands."""


def load_cases(path: str | Path) -> Cases:
    """The cases in this file. Raises `PolicyError` with every mistake in it, or in its policy."""
    name = str(path)
    problems: list[Problem] = []
    root = _root(Path(path), name, problems)
    policy = _policy(Path(path), root, problems) if root is not None else None
    file = None
    if root is not None:
        try:
            file = CaseFile.model_validate(plain(root))
        except ValidationError as error:
            problems += translate(error, root, GRAMMAR)
        if policy is not None:
            problems += references(root, policy)
    if problems or root is None or policy is None or file is None:
        raise PolicyError(in_order(problems, [name]))
    listed = root.get("cases")
    spots = tuple(each.spot for each in listed.items) if isinstance(listed, Listing) else ()
    return Cases(name, policy, file.cases, spots)


def _root(path: Path, name: str, problems: list[Problem]) -> Mapping | None:
    try:
        text = decoded(path.read_bytes(), name, problems)
    except (OSError, ValueError) as error:
        problems.append(unreadable(name, error))
        return None
    if text is None:
        return None
    return root_of(text, name, problems, what="a file of cases", cure="Begin with `version: 1`, then `cases:`.")


def _policy(path: Path, root: Mapping, problems: list[Problem]) -> Policy | None:
    """What the file names, each from its own folder; else its namesake."""
    node = root.get("policy")
    said = plain(node) if node is not None else path.name.replace(f"{SUFFIX}.", ".", 1)
    names = [each for each in (said if isinstance(said, list) else [said]) if isinstance(each, str) and each]
    if not names:
        return None  # which is reported
    sources = [each if each in READY else str(path.parent / each) for each in names]
    if node is None and not Path(sources[0]).is_file():
        problems.append(
            whole(
                str(path),
                "not-found",
                f"there is no policy {said} beside it",
                "Name the policy that the cases are about: `policy: …`.",
            )
        )
        return None
    try:
        return load(sources)
    except PolicyError as error:
        problems += error.problems
        return None
