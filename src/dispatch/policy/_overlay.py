"""One policy file laid over another."""

from __future__ import annotations

from msgspec.structs import replace

from dispatch.errors import Problem
from dispatch.policy._node import Mapping

_CHANGEABLE = ("destinations", "defaults", "tasks")


def overlay(below: Mapping, above: Mapping) -> tuple[Mapping, list[Problem]]:
    """`below` with the destinations, defaults and tasks of `above` laid over it, key by key.

    A new destination is added behind the others. A new pattern under `tasks` is asked before those of `below`:
    for every key but durability the first match counts, and whoever writes an overlay wants it to count. Rules
    are not an overlay's to change; what it says about them is a problem and is left out.
    """
    problems = [
        spot.problem(
            "overlay-rules",
            f"an overlay may not say `{key}`: the rules and their order are those of the first file",
            f"Remove it here; an overlay changes {', '.join(_CHANGEABLE[:-1])} and {_CHANGEABLE[-1]}.",
        )
        for key, spot, _ in above.items()
        if key in ("rules", "otherwise")
    ]
    if "version" not in above.entries:
        problems.append(above.spot.problem("missing-key", "`version` is missing", "Write `version: 1`."))
    changes = {key: value for key, value in above.entries.items() if key not in ("rules", "otherwise")}
    return _merged(below, replace(above, entries=changes), path=()), problems


def _merged(below: Mapping, above: Mapping, *, path: tuple[str, ...]) -> Mapping:
    entries = dict(below.entries)
    new = {}
    for key, (spot, value) in above.entries.items():
        covered = below.get(key)
        if covered is None:
            new[key] = (spot, value)
        elif isinstance(covered, Mapping) and isinstance(value, Mapping):
            entries[key] = (below.entries[key][0], _merged(covered, value, path=(*path, key)))
        else:
            entries[key] = (spot, value)
    return replace(below, entries=new | entries if path == ("tasks",) else entries | new)
