"""What travels on a channel's two queues besides the items."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, TypeAlias


class Mark(Enum):
    """Compared with `is`; no user can send one, because none is public."""

    PERMIT = "permit"
    END = "end"


End: TypeAlias = Literal[Mark.END]

PERMIT: Final = Mark.PERMIT
"""The right to put one item into the channel."""

END: Final = Mark.END
"""Nothing follows, except from a sender who already held a permit. One lies on each queue of a closed channel."""
