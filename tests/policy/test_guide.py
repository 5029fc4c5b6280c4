"""The guide says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from dispatch.policy import load, parse
from dispatch.policy._destinations import CelerySettings, LocalSettings
from policy.marked import problems_of

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "policies.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


def test_the_policies_of_the_guide_are_good(tmp_path):
    """The whole one stands alone, the overlay over `default`."""
    overlay = tmp_path / "prod.yaml"
    overlay.write_text(EXAMPLES[1])

    assert 3 == len(parse(EXAMPLES[0]).rules)
    assert 32 == load(["default", overlay]).destinations["fast"].workers


def test_the_mistake_of_the_guide_is_printed_as_shown():
    """Word for word."""
    shown = re.search(r"```text\n(.*?)```", GUIDE, re.DOTALL)[1]
    (problem,) = problems_of(EXAMPLES[0].replace("\n\ndest", "\ndest").replace("    workers: 8", "    wrkers: 8"))

    assert shown.strip() == str(problem).strip()


def test_every_code_is_in_the_guide():
    """Each word that a problem may carry has a line in the table of mistakes."""
    source = "".join(path.read_text() for path in (ROOT / "src" / "dispatch" / "policy").glob("*.py"))
    codes = set(
        re.findall(r'(?:Mistake|problem|_report|_whole|wrong = )\(\s*(?:name, |event, )?"([a-z0-9-]+)"', source)
    )

    assert {"unknown-key", "duplicate-key", "not-found", "tag", "syntax"} <= codes
    assert [] == sorted(code for code in codes if f"`{code}`" not in GUIDE)


def test_every_key_of_a_destination_is_in_the_guide():
    """With what it does, or with the word that it comes later."""
    keys = {*LocalSettings.known_keys(), *CelerySettings.known_keys()}

    assert [] == sorted(key for key in keys if f"`{key}" not in GUIDE)
