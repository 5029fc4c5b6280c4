"""Every mistake in a policy: its place, its text, what is wrong, and the cure."""

from __future__ import annotations

from textwrap import dedent

import pytest

from policy.marked import offending, problems_of, the_problem

GOOD = """\
version: 1
destinations:
  fast: {transport: local}
  queue: {transport: celery}
defaults: {durability: ephemeral}
rules:
  - name: first
    match: {durability: durable}
    route_to: queue
otherwise: {route_to: fast, fallback: [queue]}
"""


def changed(was: str, becomes: str) -> str:
    assert was in GOOD
    return GOOD.replace(was, becomes, 1)


def local(keys: str) -> str:
    return changed("{transport: local}", "{transport: local, " + keys + "}")


def celery(keys: str) -> str:
    return changed("{transport: celery}", "{transport: celery, " + keys + "}")


def spool(keys: str) -> str:
    return changed("defaults:", "  disk: {transport: spool, " + keys + "}\ndefaults:")


def matching(keys: str) -> str:
    return changed("{durability: durable}", "{" + keys + "}")


TABLE = [
    # What is written in a way that YAML would guess about, link or overwrite.
    (changed("defaults", "version: 1\n«version»: 1\ndefaults").replace("version: 1\n", "", 1), "duplicate-key", "line"),
    (local("«<<»: {workers: 3}"), "merge-key", "Write the keys out"),
    (local("workers: «&few 3»"), "anchor", "Remove it"),
    (local("workers: «*few»"), "alias", "Write the value out"),
    (local("workers: «!!int 3»"), "tag", "types follow from the keys"),
    (local("workers: «! 3»"), "tag", "types follow from the keys"),
    (local("? «[workers]»\n  : 3"), "bad-key", "Write a name, then a colon"),
    # Keys.
    (changed("version: 1\n", "").replace("destinations:", "«destinations:»"), "missing-key", "Write `version: 1`"),
    (changed("version: 1", "version: «2»"), "bad-version", "Write `version: 1`"),
    (changed("{transport: local}", "{transport: local}\n  «fats»: {}"), "missing-key", "Write `transport: local`"),
    (changed("transport: local", "transport: «locl»"), "bad-value", "Did you mean `local`?"),
    (local("«workres»: 3"), "unknown-key", "Did you mean `workers`?"),
    (local("«queue»: images"), "unknown-key", "it belongs to transport celery"),
    (celery("«workers»: 3"), "unknown-key", "Remove it. This transport takes: transport, queue, publish_deadline"),
    (changed("otherwise:", "«tsaks»: {}\notherwise:"), "unknown-key", "Did you mean `tasks`?"),
    (changed("- name: first", "- «nmae»: x\n    name: first"), "unknown-key", "no key of a rule"),
    (matching("«durabilty»: durable"), "unknown-key", "Did you mean `durability`?"),
    (matching("any: [{kind: cpu}, {«knd»: io}]"), "unknown-key", "no key of a match"),
    # Words.
    (local("on_full: «blok»"), "bad-value", "Did you mean `block`? It takes: block, next, reject, caller_runs"),
    (local("on_full: «on»"), "bad-value", "`on_full` cannot be 'on'"),
    (local("on_full: «[block]»"), "wrong-shape", "a word is expected here, and this is a list"),
    (celery("durability: «durable»"), "bad-value", "It takes: verified, asserted"),
    (changed("durability: ephemeral", "durability: «ephemerl»"), "bad-value", "Did you mean `ephemeral`?"),
    (matching("kind: «gpu»"), "bad-value", "Did you mean `cpu`?"),
    (changed("route_to: fast", "on_infeasible: «no», route_to: fast"), "bad-value", "It takes: rank, reject"),
    # Counts, sizes, durations.
    (local("workers: «0»"), "bad-count", "from 1 to 10000"),
    (local("workers: «-1»"), "bad-count", "from 1 to 10000"),
    (local("workers: «0x10»"), "bad-count", "a whole number"),
    (local("workers: «1e3»"), "bad-count", "a whole number"),
    (local("workers: «many»"), "bad-count", "'many' does not do here"),
    (local("capacity: «99999999999999999999»"), "bad-count", "from 0 to 10000000"),
    (celery("max_payload: «1048576»"), "bad-size", "such as 512B, 64KiB or 1MiB"),
    (celery("max_payload: «-1MiB»"), "bad-size", "such as 512B, 64KiB or 1MiB"),
    (celery("max_payload: «0B»"), "zero", "Write at least 1B"),
    (celery("max_payload: «{MiB: 1}»"), "wrong-shape", "a size is expected here, and this is a mapping"),
    (celery("publish_deadline: «5»"), "bad-duration", "such as 250ms, 2s or 1m30s"),
    (celery("publish_deadline: «1:30»"), "bad-duration", "such as 250ms, 2s or 1m30s"),
    (celery("publish_deadline: «.nan»"), "bad-duration", "such as 250ms, 2s or 1m30s"),
    (celery("publish_deadline: «1s-2s»"), "bad-duration", "such as 250ms, 2s or 1m30s"),
    (celery("expires: «0s»"), "zero", "more than zero"),
    (celery("expires: «9999w»"), "bad-duration", "longer than ten years"),
    (local("block_timeout: «0ms»"), "zero", "more than zero"),
    # Comparisons.
    (matching("payload: «1MiB»"), "bad-comparison", '"> 1MiB", "1MiB..8MiB"'),
    (matching('payload: «"> 5"»'), "bad-size", "such as 512B"),
    (matching("payload: «1MiB..1KiB»"), "empty-range", "the smaller bound first"),
    (matching('payload: «"< 0B"»'), "zero", "everything is above zero"),
    (matching('latency_budget: «"= 1s"»'), "bad-comparison", '"> 1s", "1s..8s"'),
    (matching('latency_budget: «"> 1MiB"»'), "bad-duration", "such as 250ms"),
    (matching("latency_budget: «{above: 1s}»"), "wrong-shape", "Write it as one text"),
    # Shapes.
    (changed("{transport: local}", "«local»"), "wrong-shape", "a mapping is expected here, and this is text"),
    (changed("fallback: [queue]", "fallback: «queue»"), "wrong-shape", "Write a list, such as [one, two]"),
    (matching("all: «[]»"), "empty", "Write at least one entry"),
    (matching("task: «[]»"), "empty", "Write at least one entry"),
    (matching('task: «""»'), "bad-text", "printable text"),
    (matching('task: «"\\u0007"»'), "bad-text", "printable text"),
    (changed("match: {durability: durable}", "match: «{}»"), "empty-match", "`otherwise`"),
    # Names, and what they refer to.
    (changed("name: first", "name: «otherwise»"), "bad-name", "Give the rule another name"),
    (changed("name: first", "name: «first rule»"), "bad-name", "Begin with a letter"),
    (changed("{transport: local}", "{transport: local}\n  «9»: {transport: local}"), "bad-name", "Begin with a letter"),
    (changed("route_to: queue", "route_to: «quue»"), "unknown-destination", "Did you mean `queue`?"),
    (changed("fallback: [queue]", "fallback: [«disk»]"), "unknown-destination", "Declared are: fast, queue"),
    (changed("fallback: [queue]", "fallback: [queue, «queue»]"), "repeated-destination", "Name each destination once"),
    (changed("fallback: [queue]", "fallback: [«fast»]"), "repeated-destination", "already a candidate"),
    (
        changed("otherwise:", "  - name: «first»\n    match: {kind: cpu}\n    route_to: fast\notherwise:"),
        "repeated-rule",
        "line 7 has this name already",
    ),
    # What the grammar has and this version does not do.
    # Keys that do not go together; the place is the whole destination's.
    (
        changed("{transport: local}", "«{transport: local, runner: asyncio, on_full: caller_runs}»"),
        "no-caller-runs",
        "Write `block`, `next` or `reject`",
    ),
    (changed("{transport: local}", "«{transport: local, loop: caller}»"), "no-loop", "only with `runner: asyncio`"),
    (changed("{transport: local}", "«{transport: local, max_tasks_per_child: 10}»"), "no-child", "Remove it"),
    (
        changed("{transport: local}", "«{transport: local, runner: asyncio, max_memory_per_child: 1GiB}»"),
        "no-child",
        "only with `runner: process`",
    ),
    (celery("breaker: {«failurs»: 5}"), "unknown-key", "Did you mean `failures`?"),
    (celery("require: «power»"), "bad-value", "fsync"),
    # What a spool's calls are handed to.
    (spool("forward_to: «fast»"), "wrong-way-out", "Of transport celery are: queue."),
    (spool("run: «queue»"), "wrong-way-out", "Of transport local are: fast."),
    (spool("forward_to: «disk»"), "circle", "disk → disk"),
    (
        spool("forward_to: «far»}\n  far: {transport: spool, reached_by: pins, run: fast"),
        "wrong-way-out",
        "is of transport spool",
    ),
    (spool("forward_to: «quue»"), "unknown-destination", "Did you mean `queue`?"),
    (
        spool("run: «fast»").replace("local", "local, runner: asyncio, loop: caller"),
        "wrong-way-out",
        "has workers of its own",
    ),
    (changed("defaults:", "  disk: «{transport: spool}»\ndefaults:"), "no-way-out", "Name the destination"),
    (changed("defaults:", "  disk: «{transport: spool, run: fast, forward_to: queue}»\ndefaults:"), "no-way-out", ""),
]


@pytest.mark.parametrize(("marked", "code", "said"), TABLE, ids=lambda value: None)
def test_a_mistake_is_reported_at_its_place_with_its_cure(marked, code, said):
    """File, line, column, code, the offending text, what is wrong with it and how to mend it."""
    problem, (line, column) = the_problem(marked)

    assert ("shop.yaml", line, column, code) == (problem.file, problem.line, problem.column, problem.code)
    assert problem.text == offending(marked)
    assert said in f"{problem.message}\n{problem.cure}"
    assert problem.cure


@pytest.mark.parametrize(
    ("key", "cure"),
    [
        ("destinations", "Name at least one"),
        ("defaults", "`defaults: {durability: ephemeral}`"),
        ("otherwise", "Say where the rest goes"),
    ],
)
def test_what_must_not_be_missing_is_named_with_an_example(key, cure):
    """`version`, `destinations`, `defaults` and `otherwise` are required."""
    whole = {
        "version": "1",
        "destinations": "{fast: {transport: local}}",
        "defaults": "{durability: ephemeral}",
        "otherwise": "{route_to: fast}",
    }
    (problem,) = problems_of("".join(f"{name}: {value}\n" for name, value in whole.items() if name != key))

    assert ("missing-key", 1, 1, f"`{key}` is missing") == (
        problem.code,
        problem.line,
        problem.column,
        problem.message,
    )
    assert cure in problem.cure


def test_every_mistake_is_reported_at_once_in_the_order_of_the_file():
    """Mistakes of form, of value and of reference do not hide one another."""
    problems = problems_of(
        dedent("""\
        version: 1
        destinations:
          fast: {transport: local, wrkers: 3, workers: none}
          queue: {transport: celery, breaker: {failurs: 5}}
        defaults: {durability: ephemeral}
        defaults: {durability: durable}
        rules:
          - name: big
            match: {payload: 1MiB, kind: &k cpu}
            route_to: fats
        otherwise: {route_to: fast, fallback: [fast]}
        """)
    )

    assert [
        (3, "unknown-key"),
        (3, "bad-count"),
        (4, "unknown-key"),
        (6, "duplicate-key"),
        (9, "bad-comparison"),
        (9, "anchor"),
        (10, "unknown-destination"),
        (11, "repeated-destination"),
    ] == [(each.line, each.code) for each in problems]


def test_the_error_prints_as_a_list_that_editors_understand():
    """`file:line:column: code: message`, then the text, then the cure."""
    (problem,) = problems_of(local("workers: none"))

    assert str(problem).splitlines()[0] == "shop.yaml:3:37: bad-count: 'none' does not do here"
    assert str(problem).splitlines()[1:] == ["    none", "    Write a whole number from 1 to 10000."]


def test_a_broken_value_is_reported_once_and_not_again_as_something_else():
    """An alias is no count, no name and no destination either; nobody needs to hear that."""
    problems = problems_of(
        GOOD.replace("{transport: local}", "{transport: *kind, workers: *few}").replace(
            "route_to: fast", "route_to: *a"
        )
    )

    assert ["alias"] * 3 == [each.code for each in problems]
