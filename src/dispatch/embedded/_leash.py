"""A program, not a module: it ends its own process group as soon as the process that started it has gone.

It leads the group, so the group's number stays taken while it lives, and what joins the group is on the leash
from its first moment. It learns of the end in two ways: its standard input closes, or it has another parent.
The second covers a parent that forked: the fork keeps the other end of the pipe open.
"""

import os
import select
import shutil
import signal
import sys
import time

_LOOK = 1.0
_DEATH = 2.0


def main(parent: int, folders: list[str]) -> None:
    """Wait for the end of process `parent`, kill the group, this process included, and remove `folders`."""
    while os.getppid() == parent:
        gone, _, _ = select.select([sys.stdin], [], [], _LOOK)
        if gone:
            break
    group = os.getpgrp()
    # The kill takes this process too, and folders can only be removed when nobody writes there any more.
    if os.fork():
        signal.pause()
    os.setsid()
    end(group)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def end(group: int) -> None:
    """Kill the group until there is none, or its dead are left lying by an init that does not bury them."""
    deadline = time.monotonic() + _DEATH
    while time.monotonic() < deadline:
        try:
            os.killpg(group, signal.SIGKILL)
        except OSError:
            return
        select.select([], [], [], 0.01)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
