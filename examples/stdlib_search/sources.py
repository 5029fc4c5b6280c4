"""The files to be indexed: where they are, what module each one is, and its text."""

from __future__ import annotations

import sysconfig
import tokenize
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

LIBRARY = Path(sysconfig.get_paths()["stdlib"])
"""The standard library of the Python that runs this."""

_NOT_OURS = {"site-packages", "dist-packages"}
_TESTS = {"test", "tests", "idle_test"}


class Source(TypedDict):
    """One file's text, on its way to the tokenizer."""

    module: str
    path: str
    text: str
    trouble: str
    """Why the text is not quite what the file says; empty for nearly all."""


def find(library: Path = LIBRARY, *, tests: bool = False) -> list[Path]:
    """Every Python file of the library, sorted; its own tests only on request."""
    unwanted = _NOT_OURS if tests else _NOT_OURS | _TESTS
    return sorted(
        path
        for path in library.rglob("*.py")
        if unwanted.isdisjoint(path.relative_to(library).parts) and path.is_file()
    )


def sample(paths: Iterable[Path], count: int) -> list[Path]:
    """`count` of the files, evenly spread over their sizes, the smallest and the largest included."""
    by_size = sorted(paths, key=lambda path: (path.stat().st_size, path))
    if count >= len(by_size):
        return sorted(by_size)
    step = (len(by_size) - 1) / max(1, count - 1)
    return sorted({by_size[len(by_size) - 1 - round(step * number)] for number in range(count)})


def module_name(path: Path, library: Path = LIBRARY) -> str:
    """The dotted name by which `path` is imported: `json/decoder.py` is `json.decoder`."""
    parts = path.relative_to(library).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def read(module: str, path: str) -> Source:
    """The text of a file in the encoding it declares. What cannot be read or decoded is said in `trouble`."""
    text, trouble = "", ""
    try:
        with tokenize.open(path) as file:
            text = file.read()
    except (SyntaxError, UnicodeDecodeError) as error:
        text, trouble = Path(path).read_text(encoding="utf-8", errors="replace"), f"not decodable: {error}"
    except OSError as error:
        trouble = f"not readable: {error.strerror}"
    return Source(module=module, path=path, text=text, trouble=trouble)
