"""What became of one message, as a value."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from dispatch.errors import PassedOver

Verdict: TypeAlias = Literal["accepted", "refused", "unknown", "not_durable", "breaker_open"]


class Answer(msgspec.Struct, frozen=True):
    """`unknown` alone means that the message may run all the same; after every other but `accepted` it will not."""

    verdict: Verdict
    detail: str = ""
    """The fact behind it, in a sentence."""
    everybodys: bool = False
    """The broker would have given it to any message: it is short of memory, read-only, starting."""

    def passed(self, destination: str) -> PassedOver | None:
        """The same, in the words of a decision; `None` when the broker has the message."""
        if self.verdict == "accepted":
            return None
        return PassedOver(destination, self.verdict, self.detail)


ACCEPTED = Answer("accepted")


def refused(reason: BaseException | str) -> Answer:
    return Answer("refused", reason if isinstance(reason, str) else f"the broker refused: {told(reason)}")


def takes_nothing(reason: BaseException | str) -> Answer:
    """Refused, and so would any other message be."""
    return msgspec.structs.replace(refused(reason), everybodys=True)


def unknown(error: BaseException) -> Answer:
    return Answer("unknown", f"it was sent, and then the answer did not come: {told(error)}")


def told(error: BaseException) -> str:
    """An error in one line, with the one beneath it where kombu only wrapped it."""
    text = str(error) or (str(error.__cause__) if error.__cause__ is not None else "")
    first = text.strip().partition("\n")[0]
    return f"{first} ({type(error).__name__})" if first else type(error).__name__
