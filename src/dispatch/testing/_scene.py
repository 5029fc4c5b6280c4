"""What a test has opened: each open scene sees the calls, takes them, or makes them travel."""

from __future__ import annotations

from dispatch._call import Call
from dispatch.errors import PassedOver


class Scene:
    """Does nothing; the scenes override what they are for. Called from any thread."""

    takes = False
    """It takes the calls in place of their destinations. Of several, the one opened last does."""
    strict = False
    """Every call makes the round trip through JSON."""

    def offered(self, call: Call) -> None:
        """A destination is about to get `call`."""

    def declined(self, call: Call) -> None:
        """It did not get it after all; another may."""

    def refuses(self, call: Call, destination: str) -> PassedOver | None:
        """Why this call, decided for `destination`, cannot be taken here."""

    def take(self, call: Call) -> None:
        """Be its destination."""

    def left(self) -> None:
        """The scene is over."""
