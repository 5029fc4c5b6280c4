"""The guide says what is so."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

from dispatch.policy import load, parse
from dispatch.policy._destinations import CelerySettings, LocalSettings
from dispatch.policy.testing import load_cases, run
from dispatch.policy.testing._grammar import CallSettings, Case, Expectation, State, Trouble
from policy.marked import problems_of

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "policies.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
SOURCE = ROOT / "src" / "dispatch"
CODES = re.compile(
    r'(?:Mistake|problem|_report|whole|wrong = )\(\s*(?:name, |str\(path\),\s*|event, )?f?"([a-z0-9{}-]+)"'
)


def test_the_policies_of_the_guide_are_good(tmp_path):
    """The whole one stands alone, the overlay over `default`."""
    overlay = tmp_path / "prod.yaml"
    overlay.write_text(EXAMPLES[1])

    assert 3 == len(parse(EXAMPLES[0]).rules)
    assert 32 == load(["default", overlay]).destinations["fast"].workers


def test_the_cases_of_the_guide_pass(tmp_path):
    """They are about `default`."""
    [cases] = [text for text in re.findall(r"```yml\n(.*?)```", GUIDE, re.DOTALL) if "cases:" in text]
    path = tmp_path / "guide_test.yaml"
    path.write_text(cases.replace("cases:", "policy: default\ncases:"))

    assert [True] * 3 == [each.passed for each in run(load_cases(path))]


def test_every_key_of_a_case_is_in_the_guide():
    """And every state that a destination may be in."""
    words = {*Case.known_keys(), *CallSettings.known_keys(), *Expectation.known_keys(), *State.known_keys()}

    assert [] == sorted(word for word in {*words, *get_args(Trouble)} if f"`{word}`" not in GUIDE)


def test_the_mistake_of_the_guide_is_printed_as_shown():
    """Word for word."""
    shown = re.search(r"```text\n(.*?)```", GUIDE, re.DOTALL)[1]
    (problem,) = problems_of(EXAMPLES[0].replace("\n\ndest", "\ndest").replace("    workers: 8", "    wrkers: 8"))

    assert shown.strip() == str(problem).strip()


def test_every_code_is_in_the_guide():
    """Each word that a problem may carry has a line in the table of mistakes."""
    codes = codes_of((SOURCE / "policy").glob("*.py")) | codes_of((SOURCE / "policy" / "testing").rglob("*.py"))

    assert {"unknown-key", "duplicate-key", "not-found", "unreadable", "tag", "syntax", "wrong-state"} <= codes
    assert [] == sorted(code for code in codes if f"`{code}`" not in GUIDE)


def test_every_proof_and_every_finding_has_its_section_with_an_example():
    """What it means, an example, and the cure; and no section is about what is not there."""
    proved = codes_of((SOURCE / "policy" / "_proofs").glob("*.py"))
    proved = proved - {"no-{durability}-candidate"} | {"no-durable-candidate", "no-ephemeral-candidate"}
    found = codes_of([SOURCE / "cli" / "_findings.py"])
    sections = dict(re.findall(r"### (\S+-\S+)\n(.*?)(?=\n##|\Z)", GUIDE, re.DOTALL))

    assert {"shadowed-rule", "no-effect"} <= proved
    assert proved | found == set(sections)
    assert [] == [code for code, text in sections.items() if text.count("```") != 2]


def codes_of(paths: Iterable[Path]) -> set[str]:
    return set(CODES.findall("".join(path.read_text() for path in paths)))


def test_every_key_of_a_destination_is_in_the_guide():
    """With what it does, or with the word that it comes later."""
    keys = {*LocalSettings.known_keys(), *CelerySettings.known_keys()}

    assert [] == sorted(key for key in keys if f"`{key}" not in GUIDE)
