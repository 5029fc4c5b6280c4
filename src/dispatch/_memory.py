"""What this process holds of the machine's memory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_STATM = Path("/proc/self/statm")
"""In pages; the second figure is what is resident (proc(5))."""


def give_back() -> None:
    """Have the C library return what was freed and lies idle; where it has no such call, nothing happens."""
    import ctypes  # noqa: PLC0415 - for the moment when memory is short

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def resident() -> int:
    """Bytes of this process in memory; where there is no `/proc`, the most that there ever were."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource  # noqa: PLC0415 - not needed, and not there, everywhere

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024  # getrusage(2): bytes there, KiB elsewhere
