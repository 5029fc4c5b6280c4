"""`MODULE:TASK`, as it is written on the command line, and the task that it names."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import sys
import traceback
from collections.abc import Iterable
from contextlib import redirect_stdout
from difflib import get_close_matches
from types import ModuleType
from typing import Any

import click

from dispatch._task import Task
from dispatch.cli._bad_input import BadInput
from dispatch.errors import NotConfigured, PolicyError


def find(target: str) -> Task[..., Any]:
    """The task that `target` names, its module imported as Python would from the current directory.

    Raises `BadInput` when there is none, and `PolicyError` when the module asks for a policy that has mistakes.
    """
    module, path = _parted(target)
    return _attribute(imported(module), module, path)


def _parted(target: str) -> tuple[str, str]:
    module, _, path = target.partition(":")
    if _dotted(module) and _dotted(path):
        return module, path
    meant = module.removesuffix(".py").removeprefix("./").replace("/", ".")
    if not path:
        meant, _, path = meant.rpartition(".")
    cure = f"Did you mean {meant}:{path}?" if _dotted(meant) and _dotted(path) else "For example, shop:charge."
    raise BadInput(f"{target!r} is not understood: write it as MODULE:TASK. {cure}")


def _dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def imported(name: str) -> ModuleType:
    """The module, found from the current directory on. Raises as `find` does."""
    home = os.getcwd()  # noqa: PTH109 - sys.path holds text
    if home not in sys.path and "" not in sys.path:
        sys.path.insert(0, home)
    try:
        # What the module prints must not end up in our JSON.
        with redirect_stdout(sys.stderr):
            return importlib.import_module(name)
    except PolicyError:
        raise
    except NotConfigured as error:
        raise BadInput(
            f"importing {name} failed: {error}\n"
            "To explain a call no broker has to run there, for nothing is sent: any address will do."
        ) from error
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise BadInput(_no_module(name, error.name)) from None
        raise _broken(name, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(name, error) from error


def _no_module(name: str, missing: str) -> str:
    package, _, last = missing.rpartition(".")
    beside = getattr(sys.modules.get(package), "__path__", ()) if package else [os.getcwd()]  # noqa: PTH109 - as above
    near = get_close_matches(last, [each.name for each in pkgutil.iter_modules(beside)], n=1)
    meant = ".".join([*package.split("."), *near] if package else near)
    said = f"there is no module {missing!r}" + (f", so no {name!r}" if missing != name else "")
    return f"{said}. " + (f"Did you mean {meant!r}?" if near else "It is looked for from the current directory on.")


def _broken(name: str, error: BaseException) -> BadInput:
    """The user's own traceback, without the frames that are ours and Python's machinery."""
    told = traceback.TracebackException.from_exception(error)
    ours = (__file__, importlib.__file__)
    frames = [each for each in told.stack if each.filename not in ours and not each.filename.startswith("<frozen ")]
    told.stack = traceback.StackSummary.from_list(frames)
    click.echo("".join(told.format(chain=False)).rstrip(), err=True)
    return BadInput(f"importing {name} failed")


def _attribute(module: ModuleType, name: str, path: str) -> Task[..., Any]:
    found: Any = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise BadInput(f"module {name} has no {path!r}.{_tasks(module, path)}") from None
    if isinstance(found, Task):
        return found
    kind = "a function" if inspect.isroutine(found) else f"a {type(found).__name__}"
    raise BadInput(f"{name}:{path} is {kind}, and no task: put @dispatch.task above it.{_tasks(module, path)}")


def _tasks(module: ModuleType, path: str) -> str:
    names = list(_names(module))
    if not names:
        return f" Module {module.__name__} has no tasks."
    near = get_close_matches(path, names, n=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    return f"{guess} Its tasks: {', '.join(names)}."


def _names(module: ModuleType) -> Iterable[str]:
    return (name for name, value in vars(module).items() if isinstance(value, Task))
