"""Tasks on a destination with `runner: process`: what travels, what comes back, and what a death costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import traceback

import psutil
import pytest

import dispatch
from dispatch.transports.local._errand import Report
from dispatch.transports.local._processes import _moments
from servers.patience import eventually
from servers.process import alive
from telemetry.handmade import Spans, provider_in_place

PROCESSES = """
version: 1
destinations:
  cpu: {{transport: local, runner: process, workers: {workers}{more}}}
  fast: {{transport: local, reached_by: pins}}
defaults: {{durability: ephemeral}}
rules: []
otherwise: {{route_to: cpu{then}}}
"""
JOBS = """
    import ctypes
    import os
    import signal
    import sys
    from pathlib import Path

    import dispatch
    from opentelemetry import trace

    kept = []

    class Unlucky(Exception):
        def __init__(self, number, why):
            super().__init__(f"{number}: {why}")

    class Awkward(Exception):
        def __reduce__(self):
            raise TypeError("not me")

    class Brittle:
        def __reduce__(self):
            return (_break, (os.getpid(),))

    def _break(made_in):
        if made_in != os.getpid():
            raise LookupError("made elsewhere")

    @dispatch.task
    def echo(*args, **kwargs):
        return args, kwargs

    @dispatch.task
    def pid():
        return os.getpid()

    @dispatch.task
    def fail(how):
        error = {"plain": ValueError("no"), "unlucky": Unlucky(13, "no"), "awkward": Awkward("no")}[how]
        error.add_note("seen there")
        raise error

    @dispatch.task
    def make(what):
        return {"lock": __import__("threading").Lock, "brittle": Brittle}[what]()

    @dispatch.task
    def die(how):
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "exit":
            os._exit(3)
        if how == "fault":
            ctypes.string_at(0)
        os.closerange(3, 256)

    @dispatch.task
    def hold(started, go):
        Path(started).write_text(str(os.getpid()))
        return Path(go).read_text()

    @dispatch.task
    def fatten():
        kept.append(bytearray(os.urandom(1)) * 200_000_000)
        return os.getpid()

    @dispatch.task
    def fork():
        os.fork()
        return "once"

    @dispatch.task
    def leave_behind(go):
        if os.fork() == 0:
            Path(go).read_text()
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)

    @dispatch.task
    def current_trace():
        return format(trace.get_current_span().get_span_context().trace_id, "032x")

    @dispatch.task(timeout="300ms", retry=dispatch.Retry(attempts=2, on=dispatch.CallTimeout, backoff="1ms"))
    def hang(file):
        with open(file, "a") as out:
            print(os.getpid(), file=out)
        while True:
            pass

    @dispatch.task(timeout="1m", retry=dispatch.Retry(attempts=3, on=ValueError, backoff="1ms"))
    def stumble(file, *args):
        with open(file, "a") as out:
            print(os.getpid(), file=out)
        if len(Path(file).read_text().split()) < 3:
            raise ValueError("not yet")
        return args

    @dispatch.task
    async def where():
        return os.getpid()

    @dispatch.task
    def nest():
        try:
            return pid.delay().result()
        except dispatch.NotAccepted as error:
            return str(error)
"""


@pytest.fixture
def jobs(project):
    return project(JOBS).load()


@pytest.fixture
def cpu(dispatcher):
    """Make the default dispatcher: `cpu(workers=2, more=", capacity: 1", then=", fallback: [fast]")`."""

    def make(workers=1, more="", then=""):
        return dispatcher(PROCESSES.format(workers=workers, more=more, then=then))

    return make


@pytest.fixture
def pipes(tmp_path):
    """Makes a pair of named pipes for `hold`, as text."""

    def make(number=0):
        pair = tmp_path / f"started{number}", tmp_path / f"go{number}"
        for pipe in pair:
            os.mkfifo(pipe)
        return pair

    return make


# What travels ----------------------------------------------------------------------------------------------------


def test_arguments_and_results_travel_by_pickle(cpu, jobs):
    """Copies of what was passed: tuples stay tuples, and classes of a module are known there."""
    cpu()
    given = {"table": {1: (2, 3)}}

    args, kwargs = jobs.echo.delay(given, key=jobs.Unlucky).result(20)

    assert (given,) == args
    assert given is not args[0]
    assert {"key": jobs.Unlucky} == kwargs


def test_an_argument_may_be_changed_once_it_was_sent(cpu, jobs, pipes):
    """What the call holds was pickled at `delay`, although it has to wait."""
    cpu()
    started, go = pipes()
    first = jobs.hold.delay(str(started), str(go))
    given = ["early"]
    handle = jobs.echo.delay(given)
    given[0] = "late"
    started.read_text()
    go.write_text("")

    assert ((["early"],), {}) == handle.result(20)
    first.result(20)


def test_messages_larger_than_any_buffer_pass(cpu, jobs):
    """Both ways at once, and the process serves the next one."""
    cpu()
    large = bytes(20_000_000)

    assert ((large,), {}) == jobs.echo.delay(large).result(30)
    assert (("small",), {}) == jobs.echo.delay("small").result(20)


def test_one_call_after_another_uses_one_process(cpu, jobs):
    """However many there might be, only as many are started as are needed at once."""
    cpu(workers=4)
    pids = {jobs.pid.delay().result(20) for _ in range(5)}

    assert 1 == len(pids)
    assert os.getpid() not in pids


def test_calls_run_side_by_side(cpu, jobs, pipes):
    """Two that wait for one another's start both come to an end."""
    cpu(workers=2)
    both = [pipes(0), pipes(1)]
    handles = [jobs.hold.delay(str(started), str(go)) for started, go in both]
    pids = {started.read_text() for started, _ in both}
    for _, go in both:
        go.write_text("on")

    assert ["on", "on"] == [handle.result(20) for handle in handles]
    assert 2 == len(pids)


def test_coroutine_tasks_stay_in_this_process(cpu, jobs):
    """They have a loop here, as on every local destination."""
    cpu()

    assert os.getpid() == jobs.where.delay().result(20)


# What cannot travel ----------------------------------------------------------------------------------------------


def test_an_argument_that_pickle_cannot_carry_is_named(cpu, jobs):
    """Nothing was sent; explaining says the same; no value is shown."""
    cpu()
    with pytest.raises(dispatch.NotSerializable) as caught:
        jobs.echo.delay(1, key=["secret", threading.Lock()])

    (passed,) = caught.value.passed_over
    assert ("cpu", "cannot_carry", "key") == (passed.destination, passed.why, passed.argument)
    assert "holds a value of type _thread.lock" in passed.detail
    assert "secret" not in passed.detail
    assert (passed,) == jobs.echo.explain(1, key=["secret", threading.Lock()]).passed_over


def test_the_next_candidate_gets_the_very_arguments(cpu, jobs):
    """What pickle cannot carry runs by reference where the rule says so."""
    cpu(then=", fallback: [fast]")
    lock = threading.Lock()
    handle = jobs.echo.delay(lock)

    assert "fast" == handle.decision.destination
    assert lock is handle.result(20)[0][0]


def test_after_a_full_pool_the_next_candidate_gets_the_very_arguments(cpu, jobs, pipes):
    """They were pickled in vain, and are given back."""
    cpu(more=", capacity: 0, on_full: next", then=", fallback: [fast]")
    started, go = pipes()
    # An unbuffered pool takes a call when its worker waits for one.
    first = eventually(lambda: _sent_to("cpu", jobs.hold, str(started), str(go)))
    started.read_text()
    given = ["itself"]
    handle = jobs.echo.delay(given)

    assert "fast" == handle.decision.destination
    assert given is handle.result(20)[0][0]
    go.write_text("")
    first.result(20)


def test_caller_runs_runs_it_here(cpu, jobs, pipes):
    """In the process that sent it, when nobody else has room."""
    cpu(more=", capacity: 1, on_full: caller_runs")
    started, go = pipes()
    first = jobs.hold.delay(str(started), str(go))
    started.read_text()
    second = jobs.pid.delay()
    third = jobs.pid.delay()

    assert "inline" == third.decision.transport
    assert os.getpid() == third.result()
    go.write_text("")
    first.result(20)
    assert os.getpid() != second.result(20)


def test_a_task_that_no_process_can_import_is_passed_over(cpu, jobs):
    """One made inside a function has no place to be found at."""
    cpu()

    @dispatch.task(name="here.only")
    def local():
        return 1

    with pytest.raises(dispatch.NotAccepted, match=r"cannot_carry.*define it at the top of a module"):
        local.delay()


@pytest.mark.parametrize(
    ("what", "wanted", "said"),
    [
        ("lock", dispatch.ResultNotSerializable, "type _thread.lock that pickle cannot carry"),
        ("brittle", dispatch.CallFailed, "cannot be rebuilt here: LookupError: made elsewhere"),
    ],
)
def test_a_result_that_cannot_travel(cpu, jobs, what, wanted, said):
    """The call has run and says so, and the process lives on."""
    cpu()
    before = jobs.pid.delay().result(20)

    assert wanted is type(error := jobs.make.delay(what).exception(20))
    assert said in str(error)
    assert before == jobs.pid.delay().result(20)


# What is raised there --------------------------------------------------------------------------------------------


def test_an_error_comes_back_with_its_traceback_as_text(cpu, jobs):
    """The same type and notes; the lines of the other process are its cause."""
    cpu()
    handle = jobs.fail.delay("plain")
    with pytest.raises(ValueError, match="no") as caught:
        handle.result(20)

    assert ["seen there"] == caught.value.__notes__
    assert "in fail" in "".join(traceback.format_exception(caught.value))
    assert "execute" not in str(caught.value.__cause__)


@pytest.mark.parametrize(("how", "said"), [("unlucky", "Unlucky: 13: no"), ("awkward", "Awkward: no")])
def test_an_error_that_cannot_travel_is_told_in_words(cpu, jobs, how, said):
    """One that does not pickle, and one that does and cannot be made again; the process lives on."""
    cpu()
    before = jobs.pid.delay().result(20)
    error = jobs.fail.delay(how).exception(20)

    assert dispatch.CallFailed is type(error)
    assert said in str(error)
    assert "in fail" in str(error.__cause__)
    assert before == jobs.pid.delay().result(20)


def test_a_module_that_cannot_be_imported_there_fails_its_calls(cpu, project):
    """Each call says why, and one process goes on serving: nothing is started over and over."""
    module = project(
        """
        import os, dispatch
        if os.getpid() != int(os.environ["HOME_PID"]):
            raise RuntimeError("not at home")

        @dispatch.task
        def work():
            return 1
        """
    )
    os.environ["HOME_PID"] = str(os.getpid())
    cpu()
    try:
        work = module.load().work
        errors = [work.delay().exception(20) for _ in range(3)]
    finally:
        del os.environ["HOME_PID"]

    assert [dispatch.CallFailed] * 3 == [type(error) for error in errors]
    assert f"a worker process cannot import {module.name}" in str(errors[0])
    assert "RuntimeError: not at home" in str(errors[0])
    assert 1 == len(_workers())


# Deaths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("kill", "was killed by SIGKILL"),
        ("exit", "ended with status 3"),
        ("fault", "was killed by SIGSEGV"),
        ("hang up", "ended with status 0"),
    ],
)
def test_a_dead_process_fails_its_call_and_nothing_else(cpu, jobs, how, said):
    """What waited behind it runs in a new process. One that closed the connection is not left to itself."""
    cpu()
    before = jobs.pid.delay().result(20)
    doomed, next_one = jobs.die.delay(how), jobs.pid.delay()

    assert dispatch.WorkerDied is type(error := doomed.exception(20))
    assert f"worker process {before} {said}, in call {doomed.id} of {jobs.die.name}" in str(error)
    assert before != next_one.result(20)
    assert not alive(before)


def test_a_process_that_died_idle_costs_no_call(cpu, jobs):
    """The next call gets a new one."""
    cpu()
    before = jobs.pid.delay().result(20)
    os.kill(before, signal.SIGKILL)
    # Until its last thread has ended, too: a zombie may still have some, and nobody can know of its end before that.
    eventually(lambda: os.waitid(os.P_PID, before, os.WEXITED | os.WNOHANG | os.WNOWAIT))

    assert before != jobs.pid.delay().result(20)


def test_a_death_is_heard_although_a_fork_holds_the_connection(cpu, jobs, tmp_path):
    """What the task has forked lives on; the call fails all the same."""
    if not hasattr(os, "pidfd_open"):
        pytest.skip("the system has no pidfd")
    cpu()
    go = tmp_path / "go"
    os.mkfifo(go)

    assert dispatch.WorkerDied is type(jobs.leave_behind.delay(str(go)).exception(20))
    go.write_text("")


def test_a_task_that_forks_answers_once(cpu, jobs):
    """The fork comes back into our loop, and ends there."""
    cpu()

    assert ["once", "once"] == [jobs.fork.delay().result(20) for _ in range(2)]
    assert (("fine",), {}) == jobs.echo.delay("fine").result(20)


@pytest.mark.slow
def test_a_thousand_calls_leave_nothing_behind(cpu, jobs):
    """No descriptor and no process, though some killed theirs."""
    cpu(workers=2)
    jobs.pid.delay().result(20)
    this = psutil.Process()
    before = this.num_fds()
    for number in range(1000):
        handle = jobs.die.delay("kill") if number % 200 == 199 else jobs.echo.delay(number)
        handle.exception(20)

    assert before >= this.num_fds()
    assert 2 >= len(_workers())


# Attempts --------------------------------------------------------------------------------------------------------


def test_a_task_past_its_timeout_is_stopped(cpu, jobs, tmp_path):
    """Its process with it, even in a loop that never ends; another attempt gets another process."""
    cpu()
    file = tmp_path / "attempts"
    error = jobs.hang.delay(str(file)).exception(20)
    first, second = map(int, file.read_text().split())

    assert dispatch.CallTimeout is type(error)
    assert first != second
    assert not alive(first)
    assert not alive(second)
    assert (("next",), {}) == jobs.echo.delay("next").result(20)


def test_each_attempt_gets_the_arguments(cpu, jobs, tmp_path):
    """They are kept, pickled, until the call has ended; an attempt that failed costs no process."""
    cpu()
    file = tmp_path / "attempts"

    assert ((1, 2),) == jobs.stumble.delay(str(file), (1, 2)).result(20)
    assert 1 == len(set(file.read_text().split()))


def test_a_delayed_call_is_pickled_when_it_is_sent(cpu, jobs):
    """What waits for its time is held as it was."""
    cpu()
    given = ["early"]
    handle = jobs.echo.apply_async((given,), countdown=0.05)
    given[0] = "late"

    assert ((["early"],), {}) == handle.result(20)


# Replaced in time ------------------------------------------------------------------------------------------------


def test_a_process_is_replaced_after_so_many_calls(cpu, jobs):
    """Between two calls; none of them notices."""
    cpu(more=", max_tasks_per_child: 2")
    one, two, three, four = [handle.result(20) for handle in [jobs.pid.delay() for _ in range(4)]]

    assert one == two != three == four
    assert not alive(one)


def test_a_process_that_grew_too_large_is_replaced(cpu, jobs):
    """Its memory is looked at after each call."""
    cpu(more=", max_memory_per_child: 200MB")
    before = jobs.pid.delay().result(20)

    assert before == jobs.fatten.delay().result(20)
    assert before != jobs.pid.delay().result(20)


# The end ---------------------------------------------------------------------------------------------------------


def test_at_shutdown_started_calls_finish_and_the_processes_end(cpu, jobs, pipes):
    """The grace is long enough here."""
    one = cpu()
    started, go = pipes()
    handle = jobs.hold.delay(str(started), str(go))
    pid = int(started.read_text())
    closing = threading.Thread(target=one.shutdown, args=("20s",))
    closing.start()
    go.write_text("done")
    closing.join()

    assert "done" == handle.result()
    assert not alive(pid)


def test_what_runs_when_the_grace_is_over_is_ended(cpu, jobs, pipes):
    """No process is left, and no handle hangs: one call died, the other never started."""
    one = cpu()
    started, go = pipes()
    running, waiting = jobs.hold.delay(str(started), str(go)), jobs.pid.delay()
    pid = int(started.read_text())

    assert 2 == one.shutdown("1ms").left
    assert "was killed by SIGTERM" in str(running.exception(20))
    assert dispatch.CallCancelled is type(waiting.exception(20))
    assert not alive(pid)


PROGRAM = """
import dispatch, {name}
dispatch.configure(policy="policy.yaml")
"""


def _program(project, tmp_path, source, jobs=JOBS):
    (tmp_path / "policy.yaml").write_text(PROCESSES.format(workers=1, more="", then=""))
    shop = project(jobs)
    return shop, PROGRAM.format(name=shop.name) + source.replace("jobs.", f"{shop.name}.")


def test_the_interpreters_exit_lets_started_calls_finish(project, tmp_path, pipes):
    """A program that ends at once after `delay` has still done the work."""
    started, go = pipes()
    shop, program = _program(
        project, tmp_path, f"h = jobs.hold.delay({str(started)!r}, {str(go)!r}); h.add_done_callback(print)"
    )
    with _running(shop, program) as process:
        pid = int(started.read_text())
        go.write_text("done")
        out, _ = process.communicate(timeout=20)

    assert "| done>" in out
    assert not alive(pid)


def test_a_killed_program_takes_its_processes_along(project, tmp_path, pipes):
    """In the middle of a task too."""
    started, go = pipes()
    shop, program = _program(project, tmp_path, f"jobs.hold.delay({str(started)!r}, {str(go)!r}).result()")
    with _running(shop, program) as process:
        pid = int(started.read_text())
        process.kill()
        process.wait()

        eventually(lambda: not alive(pid))


def test_a_ctrl_c_reaches_the_program_alone(project, tmp_path, pipes):
    """The call that it waited for comes to its end."""
    started, go = pipes()
    source = f"""
handle = jobs.hold.delay({str(started)!r}, {str(go)!r})
try:
    handle.result()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    print(handle.result())
"""
    shop, program = _program(project, tmp_path, source)
    with _running(shop, program) as process:
        started.read_text()
        os.killpg(process.pid, signal.SIGINT)
        assert "interrupted\n" == process.stdout.readline()
        go.write_text("done")
        out, _ = process.communicate(timeout=20)

    assert "done\n" == out


def test_a_fork_of_the_program_has_processes_of_its_own(project, tmp_path):
    """It leaves its parent's alone, and does not keep them alive when the parent is killed."""
    source = """
import os, signal
before = jobs.pid.delay().result()
told, tell = os.pipe()
if os.fork() == 0:
    there = jobs.pid.delay().result()
    os.write(tell, b".")
    print(before, there, os.getpid(), flush=True)
    signal.pause()
os.read(told, 1)
assert jobs.pid.delay().result() == before
os.kill(os.getpid(), signal.SIGKILL)
"""
    shop, program = _program(project, tmp_path, source)
    with _running(shop, program) as process:
        parents, forks, fork = map(int, process.stdout.readline().split())

        assert parents != forks
        eventually(lambda: not alive(parents))
        assert alive(forks)
        os.kill(fork, signal.SIGKILL)
        eventually(lambda: not alive(forks))


# Where it works --------------------------------------------------------------------------------------------------


def test_a_script_is_not_run_again(project, tmp_path):
    """Not even one without `if __name__`; a task that stands in it is passed over, with the cure."""
    source = """
print("script")
@dispatch.task
def mine(): ...
print(jobs.echo.delay(1).result())
try:
    mine.delay()
except dispatch.NotAccepted as error:
    print(error)
"""
    _, program = _program(project, tmp_path, source)
    (tmp_path / "main.py").write_text(program)
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=30)  # noqa: PLW1510

    assert 1 == done.stdout.count("script\n")
    assert "((1,), {})" in done.stdout
    assert "cpu: cannot_carry (main.mine stands in the program's own script" in done.stdout


def test_a_module_that_sends_as_it_is_imported_starts_no_chain_of_processes(project, tmp_path):
    """Its worker process would import it, and have a worker process, and so on: it is refused there."""
    jobs = """
    import dispatch
    @dispatch.task
    def work(): return "done"
    dispatch.configure(policy="policy.yaml")
    handle = work.delay()
    """
    shop, program = _program(project, tmp_path, "print(repr(jobs.handle.exception()))", jobs)
    done = shop.run(program)

    assert "CallFailed" in done.stdout
    assert "this is a worker process itself, and has none of its own" in done.stdout


def test_a_worker_process_has_none_of_its_own(cpu, jobs, tmp_path, monkeypatch):
    """What a task sends there takes the next candidate of the policy that is in force there."""
    (tmp_path / "policy.yaml").write_text(PROCESSES.format(workers=1, more="", then=""))
    monkeypatch.setenv("DISPATCH_POLICY", "policy.yaml")
    cpu()

    assert "give the rule a fallback" in jobs.nest.delay().result(20)


def test_a_daemonic_process_may_have_some(project, tmp_path):
    """multiprocessing lets its daemonic processes have no children; these end by themselves."""
    source = """
import multiprocessing
def main():
    print(jobs.echo.delay("there").result(20), flush=True)
process = multiprocessing.get_context("fork").Process(target=main, daemon=True)
process.start()
process.join()
"""
    shop, program = _program(project, tmp_path, source)

    assert "(('there',), {})\n" == shop.run(program).stdout


def test_green_threads_have_none(project, tmp_path):
    """A greenlet that waits for a process would stop all the others; the call is passed over."""
    shop, program = _program(project, tmp_path, "print(jobs.echo.explain(1))")
    done = shop.run("from gevent import monkey; monkey.patch_all()\n" + program)

    assert "cannot_carry: gevent has made greenlets of this process's threads" in done.stdout


def test_a_frozen_program_has_none(cpu, jobs, monkeypatch):
    """Its executable is the program itself, which would be started once more."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    cpu()
    with pytest.raises(dispatch.NotAccepted, match=r"no Python interpreter to start: write `runner: thread`"):
        jobs.echo.delay(1)


# Traces ----------------------------------------------------------------------------------------------------------


def test_a_call_is_traced_with_its_process(cpu, jobs):
    """Its span names the process and lies within the caller's trace, in which the task's own spans are too."""
    cpu()
    pid = jobs.pid.delay().result(20)
    spans = Spans()
    with provider_in_place(spans.provider), spans.tracer().start_as_current_span("caller"):
        there = jobs.current_trace.delay().result(20)
        jobs.fail.delay("plain").exception(20)
    spans.provider.shutdown()
    good, bad = [span for span in spans.finished if span.name.startswith("execute")]
    parent = next(span for span in spans.finished if span.name == f"dispatch {jobs.current_trace.name}")

    assert there == format(good.context.trace_id, "032x")
    assert [pid, pid] == [span.attributes["process.pid"] for span in (good, bad)]
    assert good.attributes["dispatch.start_us"] >= 0
    assert parent.attributes["dispatch.serialize_us"] > 0
    assert "ValueError" == bad.attributes["error.type"]


@pytest.mark.parametrize(("started", "ended", "taken"), [(11, 19, (11, 19)), (5, 19, (10, 20)), (12, 21, (10, 20))])
def test_times_that_cannot_be_true_are_not_taken_over(started, ended, taken):
    """Where the two processes read different clocks, it is when it was asked and when it answered."""
    assert taken == _moments(Report(started, ended), 10, 20)


# ---- for the tests above


def _sent_to(destination, task, *args):
    handle = task.delay(*args) if task.explain(*args).decision.destination == destination else None
    return handle if handle is not None and handle.decision.destination == destination else None


def _workers():
    return [child for child in psutil.Process().children() if "_worker_program.py" in " ".join(child.cmdline())]


def _running(shop, program):
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=shop.folder,
        env=os.environ | shop.environment,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
