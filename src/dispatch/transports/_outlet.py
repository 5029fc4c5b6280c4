"""Where a spool's calls go: the seam between the spool and the destination behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from dispatch._call import Call, Source
from dispatch._decision import Transport
from dispatch._registry import TaskSpec
from dispatch._requirements import Durability
from dispatch.errors import PassedOver
from dispatch.transports._destination import Destination

if TYPE_CHECKING:
    # Not at run time: it opens SQLite, and most programs have no spool.
    from dispatch.spool import Spool, Watchman


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it lies on disk. Only the outlet that packed it, in whichever process, can read it."""

    arguments: bytes
    headers: dict[str, Any]
    """Anything that JSON can carry."""
    delay_ns: int = 0
    """From its `delay` on, not to be handed on before so long."""


class Outlet(Protocol):
    """A destination, as a spool sees it. Safe from any thread."""

    @property
    def name(self) -> str:
        """The destination's, under which the spool's rows are bound for it."""

    @property
    def runs_on(self) -> Transport:
        """The transport of that destination."""

    def revised(self, destination: Destination) -> Outlet:
        """The same way out, with the destination as it is by the next policy."""

    def enforce(self) -> None:
        """Have what lies there already go by that policy, too."""

    def bars(self, spec: TaskSpec, durability: Durability) -> PassedOver | None:
        """Why no call of this task can ever be handed on."""

    def unfit(self) -> PassedOver | None:
        """Why nothing is to be kept for it just now, for it would not be handed on. That it is away is no reason."""

    def refuses(self, spec: TaskSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> PassedOver | None:
        """Why exactly these arguments cannot be kept."""

    def pack(self, call: Call, trace: dict[str, str]) -> Parcel:
        """Encode the call, on its caller's thread. `trace` are the headers that carry its trace. Raises `Uncarried`."""

    def kept(self, call: Call, spool: Spool) -> Source:
        """It is on disk. Returns where its outcome comes from."""

    def watchman(self, spool: Spool) -> Watchman:
        """What empties `spool` towards it; not started yet."""
