"""A small application in a folder of its own: a module with tasks, as a user would write it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

from dispatch.embedded import Worker, worker


@dataclass(frozen=True, slots=True)
class Project:
    """`{folder}/{name}.py`, with the environment that its processes are to see."""

    folder: Path
    name: str
    environment: Mapping[str, str]

    def worker(self, *, env: Mapping[str, str] | None = None, **options: Any) -> AbstractContextManager[Worker]:
        """A real `celery -A {name} worker` in the folder. `options` are those of `dispatch.embedded.worker`."""
        return worker(self.name, directory=self.folder, env=self.environment | (env or {}), log=self.log, **options)

    @property
    def log(self) -> Path:
        """What its workers print."""
        return self.folder / "worker.log"

    def load(self) -> ModuleType:
        """The module, imported in this process."""
        return importlib.import_module(self.name)

    def run(
        self, program: str, *, env: Mapping[str, str] | None = None, timeout: float = 30.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a Python program, given as source, in a process of its own in the folder."""
        return subprocess.run(
            [sys.executable, "-c", dedent(program)],
            cwd=self.folder,
            env=os.environ | self.environment | (env or {}),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=check,
        )


def write(folder: Path, name: str, source: str, *, broker_url: str | None, result_backend: str | None) -> Project:
    """Put the project on disk. A dedented `source`; urls become `DISPATCH_…` variables of its processes."""
    (folder / f"{name}.py").write_text(dedent(source))
    environment = {"PYTHONPATH": str(folder)}
    if broker_url is not None:
        environment["DISPATCH_BROKER_URL"] = broker_url
    if result_backend is not None:
        environment["DISPATCH_RESULT_BACKEND"] = result_backend
    return Project(folder, name, environment)
