"""The JSON Schema of a policy file, for editors: made of the models, and of what stands beside their fields.

It knows what can be known of each place by itself. Names that must exist or differ, and rules that no call reaches,
are for `load` to find.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from itertools import pairwise
from textwrap import dedent
from typing import Any

from dispatch.policy._destinations import Breaker, CelerySettings, LocalSettings, SpoolSettings
from dispatch.policy._grammar import Defaults, Otherwise, PolicyFile, RuleSettings, TaskSettings
from dispatch.policy._match import Match
from dispatch.policy._shape import Shape
from dispatch.policy._written import written

_DIALECT = "http://json-schema.org/draft-07/schema#"
"""Older than what pydantic writes, and understood by every editor; nothing newer is used."""

_NOISE = ("title", "discriminator")
"""Names of Python's, and a word of OpenAPI's."""

_MODELS: tuple[type[Shape], ...] = (
    *(Breaker, CelerySettings, LocalSettings, SpoolSettings),
    *(Defaults, Match, Otherwise, RuleSettings, TaskSettings),
)


def schema_text() -> str:
    """The schema as it stands in its file."""
    return json.dumps(_schema(), indent=2, ensure_ascii=False) + "\n"


def _schema() -> dict[str, Any]:
    made = PolicyFile.model_json_schema()
    for model in _MODELS:
        _tell(model, made["$defs"][model.__name__])
    _tell(PolicyFile, made)
    return {"$schema": _DIALECT, "title": "A policy of dispatch", **_tidied(made)}


def _tell(model: type[Shape], schema: dict[str, Any]) -> None:
    """Give each key its description, and its default as one would write it."""
    said = dict(_said_of(model))
    for name, field in model.model_fields.items():
        schema_of_key = schema["properties"][field.alias or name]
        schema_of_key.pop("default", None)
        if name in said:
            schema_of_key["description"] = said[name]
        default = written(name, field.default)
        if default is not None:
            schema_of_key["default"] = default


def _said_of(model: type[Shape]) -> Iterator[tuple[str, str]]:
    """Name and docstring of each field, those of the classes above it first."""
    for each in reversed(model.__mro__):
        if issubclass(each, Shape):
            [body] = ast.parse(dedent(inspect.getsource(each))).body
            yield from _docstrings(body)


def _docstrings(body: ast.stmt) -> Iterator[tuple[str, str]]:
    lines = body.body if isinstance(body, ast.ClassDef) else []
    for line, following in pairwise(lines):
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(following, ast.Expr):
            yield line.target.id, inspect.cleandoc(ast.literal_eval(following.value))


def _tidied(node: Any) -> Any:
    """Without pydantic's titles and OpenAPI's words, and without `null`: what is not said is left out of the file."""
    if isinstance(node, list):
        return [_tidied(each) for each in node]
    if not isinstance(node, dict):
        return node
    choices = [each for each in node.get("anyOf", []) if each != {"type": "null"}]
    if len(choices) == 1:
        node = {**{key: value for key, value in node.items() if key != "anyOf"}, **choices[0]}
    elif choices:
        node = {**node, "anyOf": choices}
    if "$ref" in node and len(node) > 1:
        # What stands beside a reference is not read.
        node = {**node, "allOf": [{"$ref": node["$ref"]}]}
        del node["$ref"]
    return {key: _tidied(value) for key, value in node.items() if key not in _NOISE}
