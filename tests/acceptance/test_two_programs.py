"""The two programs that started the question, on both paths."""

import re

import pytest

pytestmark = pytest.mark.slow

COUNT = 500
SUM = COUNT * (COUNT - 1)


@pytest.mark.parametrize("path", ["local", "celery"])
def test_adds_take_the_path_that_the_policy_names(run, examples, path):
    """Every call goes there, and every result comes back."""
    printed, _ = run("ten_thousand_adds.py", "--count", COUNT, "--policy", examples / f"policies/{path}.yaml")

    assert f"{COUNT} calls: {COUNT} through {path}" in printed
    assert re.search(rf"^sum +{SUM}$", printed, re.MULTILINE)
    assert 2 == len(re.findall(r"µs each$", printed, re.MULTILINE))


@pytest.mark.parametrize("path", ["local", "celery"])
def test_five_workers_drain_the_tasks_on_either_path(run, examples, path):
    """The results channel gets every result and is closed after the last one; no more than five worked."""
    printed, _ = run("five_workers.py", "--count", COUNT, "--policy", examples / f"policies/{path}.yaml")

    assert f"{COUNT} tasks: {COUNT} through {path}" in printed
    assert printed.rstrip().endswith(f"sum {SUM}")
    assert int(re.search(r"^(\d+) workers", printed, re.MULTILINE)[1]) in range(1, 6)


def test_five_workers_need_no_tasks(run):
    """The same with plain channels and threads."""
    printed, _ = run("five_workers_channels.py", "--count", COUNT)

    assert printed.rstrip().endswith(f"sum {SUM}")


def test_a_given_broker_is_used(run, examples, redis_url):
    """A broker in the environment is used as it is, and the tasks come through it."""
    policy = examples / "policies/celery.yaml"

    printed, _ = run("ten_thousand_adds.py", "--count", COUNT, "--policy", policy, DISPATCH_BROKER_URL=redis_url)

    assert f"{COUNT} calls: {COUNT} through celery" in printed
