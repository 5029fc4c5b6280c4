"""One source of a policy: its text and its nodes, or what keeps it from being read, and where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dispatch.errors import Problem
from dispatch.policy._mistake import choose
from dispatch.policy._node import Broken, Mapping, Spot
from dispatch.policy._ready import READY, ready


def read(source: str | Path, problems: list[Problem]) -> str | None:
    """The text of one source, or nothing and a problem."""
    name = str(source)
    cure = choose(name, READY, what="Give the path of a file, or the name of a ready policy")
    if not name:
        problems.append(whole(name, "not-found", "no policy is named", cure))
        return None
    path = ready(name) if isinstance(source, str) and source in READY else Path(source)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        problems.append(whole(name, "not-found", "there is neither such a file nor a ready policy of this name", cure))
    except (OSError, ValueError) as error:
        problems.append(unreadable(name, error))
    else:
        return decoded(data, name, problems)
    return None


def root_of(
    text: str,
    name: str,
    problems: list[Problem],
    *,
    what: str = "a policy",
    cure: str = "Begin with `version: 1`, then `destinations:`, `defaults:` and `otherwise:`.",
) -> Mapping | None:
    """The mapping that this text is; or nothing, and problems more. `what` it should be, and how that begins."""
    # Here, because PyYAML is a tenth of what `import dispatch` would cost, and wanted where a policy is read.
    from dispatch.policy._composer import compose  # noqa: PLC0415

    node, found = compose(text, name)
    problems += found
    if node is None or isinstance(node, Broken | Mapping):
        return node if isinstance(node, Mapping) else None
    problems.append(node.spot.problem("wrong-shape", f"{what} is a mapping, and this is {node.shape}", cure))
    return None


def decoded(data: bytes, name: str, problems: list[Problem]) -> str | None:
    """The text of these bytes; or nothing, and a problem more."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8-sig", "replace")) + 1
        spot = Spot(name, line, column, repr(data[error.start : error.end])[2:-1])
        problems.append(spot.problem("not-utf-8", "these bytes are not UTF-8", "Save the file as UTF-8."))
        return None


def unreadable(name: str, error: Exception) -> Problem:
    """The system does not give it out."""
    reason = getattr(error, "strerror", None) or str(error)
    return whole(name, "unreadable", f"it cannot be read: {reason}", "Give the path of a readable file.")


def whole(name: str, code: str, message: str, cure: str) -> Problem:
    """A problem that the file as a whole has."""
    return Spot(name, 1, 1, name).problem(code, message, cure)


def in_order(problems: Sequence[Problem], files: Sequence[str]) -> list[Problem]:
    """Each once, in the order of the files and of what stands in them."""

    def position(problem: Problem) -> tuple[int, int, int]:
        place = files.index(problem.file) if problem.file in files else -1
        return (place, problem.line, problem.column)

    return sorted(dict.fromkeys(problems), key=position)
