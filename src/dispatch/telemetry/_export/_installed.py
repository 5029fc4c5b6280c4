"""What `setup` has put in place of one signal in this process, and has to shut down when that ends."""

from __future__ import annotations

import atexit
from typing import Any

from dispatch.telemetry._failures import harmless


class Installed:
    """Nothing at first. To be made at import, hence shut down late: dispatchers are made afterwards, and what they
    finish at exit is still told.
    """

    __slots__ = ("provider",)

    def __init__(self) -> None:
        self.provider: Any = None
        """The SDK's."""
        atexit.register(self.shut_down)

    def shut_down(self) -> None:
        provider, self.provider = self.provider, None
        with harmless:
            if provider is not None:
                provider.shutdown()
