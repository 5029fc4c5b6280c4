"""`dispatch test`: the cases beside a policy, and how much of it they cover."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console

from dispatch.cli._bad_input import BadInput
from dispatch.cli._printing import aligned, console, print_json, print_line
from dispatch.cli._waterfall import plain
from dispatch.errors import PolicyError, Problem
from dispatch.policy import READY, Policy, ready

if TYPE_CHECKING:
    from dispatch.policy.testing import Cases, Coverage, Outcome, RuleCoverage


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--fail-under",
    type=click.FloatRange(0, 100),
    default=0.0,
    metavar="PERCENT",
    help="Exit status 1 when the cases cover less of a policy.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def test(*, paths: tuple[str, ...], fail_under: float, as_json: bool) -> None:
    """Run the cases of a policy, and say how much of it they cover.

    PATH is a file of cases, the policy beside it, the name of a ready policy, or a folder, of which every `*_test.yaml`
    is taken. Nothing is sent. Exit status 1 when a case fails, 2 when a file has mistakes.
    """
    from dispatch.policy.testing import run  # noqa: PLC0415 - no other command needs it

    files = _read([file for path in paths for file in _files(path)])
    results = [(cases, run(cases)) for cases in files]
    covered = _covered(results)
    short = [policy for policy, coverage in covered if coverage.percent < fail_under]
    failed = sum(not each.passed for _, outcomes in results for each in outcomes)
    if as_json:
        print_json(
            {
                "ok": not (failed or short),
                "files": [_told(cases, outcomes) for cases, outcomes in results],
                "coverage": [_told_coverage(policy, coverage) for policy, coverage in covered],
            }
        )
    else:
        _print(results, covered, fail_under, console())
    if failed or short:
        raise SystemExit(1)


# Which files ----------------------------------------------------------------------------------------------------


def _files(path: str) -> list[Path]:
    from dispatch.policy.testing import SUFFIX  # noqa: PLC0415 - as above

    given = ready(path) if path in READY else Path(path)
    if given.is_dir():
        found = sorted(each for ending in ("yaml", "yml") for each in given.rglob(f"*{SUFFIX}.{ending}"))
        if not found:
            raise BadInput(f"there is no *{SUFFIX}.yaml in {path}")
        return found
    if given.stem.endswith(SUFFIX):
        return [given]
    beside = given.with_name(f"{given.stem}{SUFFIX}{given.suffix}")
    if not beside.is_file():
        raise BadInput(f"there are no cases for {path}: they would be in {beside}")
    return [beside]


def _read(files: Sequence[Path]) -> list[Cases]:
    """Each file once. Raises `PolicyError` with the mistakes of all of them."""
    from dispatch.policy.testing import load_cases  # noqa: PLC0415 - as above

    read: list[Cases] = []
    problems: list[Problem] = []
    for file in {file.resolve(): file for file in files}.values():
        try:
            read.append(load_cases(file))
        except PolicyError as error:
            problems += error.problems
    if problems:
        raise PolicyError(list(dict.fromkeys(problems)))
    return read


def _covered(results: Sequence[tuple[Cases, list[Outcome]]]) -> list[tuple[Policy, Coverage]]:
    """Each policy once, with what the cases of all its files have seen."""
    from dispatch.policy.testing import coverage  # noqa: PLC0415 - as above

    seen: dict[tuple[Path, ...], tuple[Policy, list[Outcome]]] = {}
    for cases, outcomes in results:
        same = tuple(Path(source).resolve() for source in cases.policy.sources)
        seen.setdefault(same, (cases.policy, []))[1].extend(outcomes)
    return [(policy, coverage(policy, outcomes)) for policy, outcomes in seen.values()]


# For programs ---------------------------------------------------------------------------------------------------


def _told(cases: Cases, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "file": cases.file,
        "policy": cases.policy.sources,
        "version": cases.policy.version,
        "cases": [
            {
                "name": each.case.name,
                "line": each.spot.line,
                "passed": each.passed,
                "differences": each.differences,
                "rule": each.rule,
                "destination": each.destination,
                "error": each.error,
                "passed_over": {over.destination: over.why for over in each.passed_over},
            }
            for each in outcomes
        ],
    }


def _told_coverage(policy: Policy, coverage: Coverage) -> dict[str, Any]:
    return {
        "policy": policy.sources,
        "version": policy.version,
        "percent": round(coverage.percent, 1),
        "rules": [msgspec.to_builtins(each) for each in coverage.rules],
    }


# For people -----------------------------------------------------------------------------------------------------


def _print(
    results: Sequence[tuple[Cases, list[Outcome]]],
    covered: Sequence[tuple[Policy, Coverage]],
    fail_under: float,
    out: Console,
) -> None:
    for cases, outcomes in results:
        for each in outcomes:
            if not each.passed:
                _print_failure(cases.file, each, out)
    for policy, coverage in covered:
        enough = coverage.percent >= fail_under
        percent = f"{coverage.percent:.0f} %" if coverage.percent in (0, 100) else f"{coverage.percent:.1f} %"
        wanted = "" if enough else f", and {fail_under:g} % are asked for"
        name = plain(" + ".join(policy.sources))
        print_line(out, (name, "bold"), ": ", (f"{percent} covered", "green" if enough else "red"), wanted)
        for line in aligned([["rule", "asked", "matched", "chosen"], *map(_row, coverage.rules)]):
            print_line(out, f"  {plain(line)}")
    failed = sum(not each.passed for _, outcomes in results for each in outcomes)
    total = sum(len(outcomes) for _, outcomes in results)
    verdict = (f"{failed} failed", "red") if failed else ("all passed", "green")
    print_line(out, f"{total} case{'' if total == 1 else 's'}: ", verdict)


def _row(rule: RuleCoverage) -> list[str]:
    chosen = (f"{each.destination} {'never' if each.never else each.chosen}" for each in rule.candidates)
    return [rule.rule, str(rule.asked), str(rule.matched), ", ".join(chosen)]


def _print_failure(file: str, outcome: Outcome, out: Console) -> None:
    """Where the case stands, what was not as expected, and why it went as it did."""
    place = f"{plain(file)}:{outcome.spot.line}:{outcome.spot.column}"
    print_line(out, (place, "bold"), ": ", ("failed", "red"), f": {plain(outcome.case.name)}")
    for difference in outcome.differences:
        print_line(out, "    ", (plain(difference), "red"))
    for line in str(outcome.explanation or "").splitlines():
        print_line(out, "    ", (plain(line), "dim"))
