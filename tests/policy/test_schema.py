"""The JSON Schema that editors complete and check policies with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from dispatch._units import duration_ns, size
from dispatch.cli import main
from dispatch.errors import PolicyError
from dispatch.policy import READY, parse, ready
from dispatch.policy._quantity import DURATION_FORM, SIZE_FORM
from policy.test_guide import EXAMPLES
from policy.test_mistakes import GOOD, TABLE
from policy.test_properties import CALM, policies

FILE = Path(ready("default")).with_name("policy.schema.json")
SCHEMA = json.loads(FILE.read_text())
VALIDATOR = Draft7Validator(SCHEMA)

ONLY_THE_LOADER_KNOWS = {
    # How it is written: a schema is asked about what YAML has made of it.
    *("duplicate-key", "merge-key", "anchor", "alias", "tag", "bad-key"),
    # What other places of the file say.
    *("unknown-destination", "repeated-rule", "wrong-way-out", "circle"),
    # What takes a calculation.
    "empty-range",
}
UNITS = ("ns", "us", "µs", "μs", "ms", "s", "m", "h", "d", "w")
TOO_FINE = {"0x10", "9999w", '"\\u0007"', "1e3", "fast", "1:30"}
"""A number to YAML; arithmetic; a control character; one candidate twice, in two keys."""

OBJECTS = {name: made for name, made in {**SCHEMA["$defs"], "a policy": SCHEMA}.items() if "properties" in made}


def is_known(marked: str, code: str) -> bool:
    text = marked[marked.index("«") + 1 : marked.index("»")]
    return code not in ONLY_THE_LOADER_KNOWS and text not in TOO_FINE


def loads(text: str) -> bool:
    try:
        parse(text)
    except PolicyError:
        return False
    return True


def complaints(text: str) -> list[str]:
    """What an editor underlines. To it a key is text, also where YAML reads a number."""
    return [error.message for error in VALIDATOR.iter_errors(json.loads(json.dumps(yaml.safe_load(text))))]


def test_the_schema_is_itself_a_schema_and_up_to_date():
    """Write it anew with: dispatch check --schema > policies/policy.schema.json."""
    printed = CliRunner().invoke(main, ["check", "--schema"])

    Draft7Validator.check_schema(SCHEMA)
    assert (0, FILE.read_text()) == (printed.exit_code, printed.stdout)


@pytest.mark.parametrize("name", READY)
def test_a_ready_policy_names_the_schema_and_keeps_to_it(name):
    """The line that editors look for stands above the first key."""
    text = Path(ready(name)).read_text()

    assert "\n# yaml-language-server: $schema=./policy.schema.json\nversion: 1\n" in text
    assert [] == complaints(text)


@pytest.mark.parametrize("text", [GOOD, EXAMPLES[0]])
def test_a_good_policy_keeps_to_it(text):
    """That of the guide, too."""
    assert [] == complaints(text)


@pytest.mark.parametrize(
    "marked", [marked for marked, code, _ in TABLE if is_known(marked, code)], ids=lambda marked: marked[-60:]
)
def test_a_mistake_that_can_be_known_of_its_place_is_shown_by_the_editor(marked):
    """Keys, words, units, names and keys that do not go together."""
    assert [] != complaints(marked.replace("«", "").replace("»", ""))


@CALM
@given(policies)
def test_whatever_the_loader_takes_the_schema_takes(policy):
    """An editor that complains of a good policy is turned off."""
    text = json.dumps(policy)

    assert not loads(text) or [] == complaints(text)


@CALM
@given(st.from_regex(SIZE_FORM, fullmatch=True, alphabet="0123456789. KMGkmgiIBb"))
def test_every_size_of_the_schema_is_a_size(text):
    """The form that editors know is that of the parser."""
    assert size(text) >= 0


@CALM
@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(UNITS)), min_size=1))
def test_every_duration_of_the_parser_is_one_of_the_schema(parts):
    """All units."""
    text = "".join(f"{amount}{unit}" for amount, unit in parts)
    duration_ns(text)

    assert Draft7Validator({"pattern": f"^{DURATION_FORM}$"}).is_valid(text)


@pytest.mark.parametrize("name", OBJECTS)
def test_every_key_says_what_it_means(name):
    """Editors show it while one types; a default is written as the file would write it."""
    assert [] == [key for key, about in OBJECTS[name]["properties"].items() if not about.get("description")]
    for key, about in OBJECTS[name]["properties"].items():
        if "default" in about:
            assert [] == list(Draft7Validator({"$defs": SCHEMA["$defs"], **about}).iter_errors(about["default"])), key
