"""What there is to find in Python source: names, strings and comments, as Python's own tokenizer sees them."""

from __future__ import annotations

import io
import keyword
import re
import token
import tokenize
from collections.abc import Iterator
from typing import TypedDict

from sources import Source

_OPENING = re.compile(r"^[A-Za-z]{0,2}('''|\"\"\"|'|\")")
# Python 3.12 and later take f-strings apart; the middles are what is left of the text.
_TEXT = {token.STRING} | {getattr(token, name) for name in ("FSTRING_MIDDLE", "TSTRING_MIDDLE") if hasattr(token, name)}


class Document(TypedDict):
    """One file, ready for the index. Plain text, so that it can travel as JSON."""

    module: str
    path: str
    names: str
    strings: str
    comments: str
    trouble: str


def tokenize_source(source: Source) -> Document:
    """Take a file apart. What follows a place that is not Python is left out, and `trouble` says where that was."""
    names: list[str] = []
    strings: list[str] = []
    comments: list[str] = []
    trouble = source["trouble"]
    attribute = False
    try:
        for kind, text, *_ in _tokens(source["text"]):
            if kind == token.NAME and not keyword.iskeyword(text):
                if attribute and names:
                    names[-1] += f".{text}"  # `os.path.join` stays together
                else:
                    names.append(text)
            elif kind in _TEXT:
                strings.append(_without_quotes(text))
            elif kind == token.COMMENT:
                comments.append(text.lstrip("#!: ").rstrip())
            attribute = kind == token.OP and text == "."
    except (tokenize.TokenError, SyntaxError) as error:
        trouble = trouble or f"not tokenizable: {error}"
    return Document(
        module=source["module"],
        path=source["path"],
        names=" ".join(names),
        strings="\n".join(strings),
        comments="\n".join(filter(None, comments)),
        trouble=trouble,
    )


def imported_modules(source: Source) -> list[str]:
    """The modules that a file imports, each once, sorted; from what of it is Python."""
    # Not by `ast.parse`: on Python 3.11, threads that parse at once now and then get a SystemError (gh-106905).
    found: set[str] = set()
    for first, *rest in _statements(source["text"]):
        if first == "import":
            found.update(part.partition(" as ")[0].replace(" ", "") for part in " ".join(rest).split(","))
        elif first == "from" and "import" in rest:
            found.add(_absolute("".join(rest[: rest.index("import")]), source))
    return sorted(found - {source["module"], ""})


def _statements(text: str) -> Iterator[list[str]]:
    """The words of each simple statement."""
    words: list[str] = []
    try:
        for kind, word, *_ in _tokens(text):
            if kind == token.NEWLINE or word in (";", ":"):
                if words:
                    yield words
                words = []
            elif kind in (token.NAME, token.OP):
                words.append(word)
    except (tokenize.TokenError, SyntaxError):
        return


def _tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(text).readline)


def _without_quotes(literal: str) -> str:
    opening = _OPENING.match(literal)
    if opening is None:
        return literal.strip()  # the middle of an f-string
    return literal[opening.end() : -len(opening[1])].strip()


def _absolute(name: str, source: Source) -> str:
    """`.scanner` in `json.decoder` is `json.scanner`."""
    relative = name.lstrip(".")
    level = len(name) - len(relative)
    if not level:
        return name
    package = source["module"].split(".")
    outside = not source["path"].endswith("__init__.py")
    return ".".join([*package[: len(package) - level + (not outside)], relative]).strip(".")
