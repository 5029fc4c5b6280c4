"""A value that a policy may not hold, before it is known where in the file it stands."""

from __future__ import annotations

from collections.abc import Iterable


class Mistake(ValueError):
    """What is wrong with a value, and how to mend it. Its place is added by whoever knows the file."""

    def __init__(self, code: str, message: str, cure: str) -> None:
        self.code = code
        self.message = message
        self.cure = cure
        super().__init__(f"{message}. {cure}")


def choose(word: str, known: Iterable[str], *, what: str) -> str:
    """The cure for a word that is none of `known`: the one that was probably meant, and what there is."""
    from difflib import get_close_matches  # noqa: PLC0415 - each import of ours would pay for it

    choices = list(known)
    listed = f"{what}: {', '.join(choices)}." if choices else f"{what}: none."
    close = get_close_matches(word, choices, n=1)
    return f"Did you mean `{close[0]}`? {listed}" if close else listed
