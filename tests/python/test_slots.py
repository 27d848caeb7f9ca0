"""Threads and coroutines as slots: many attempts in one child, each with its own end, output and context."""

from __future__ import annotations

import signal
from contextlib import contextmanager

import pytest

import slotworks as works
from lineshaft import OptionError, TaskCancelled, TaskCrashed, TaskFailed, TaskTimeout, current
from support.processes import PATIENCE_S, is_alive, text_of, until
from support.workers import Workers

PLACES = ["process", "thread", "async"]
MIXED = ["thread", "async", "async without uvloop"]
SLOTS = {"process": "1", "thread": "8", "async": "100"}


class Shared(Workers):
    """Workers by the kind of their slots."""

    @contextmanager
    def one(self, kind: str, grace: str = "1s", slots: str | None = None):
        name = kind.split()[0]
        options = ("--kind", name, "--slots", slots or SLOTS[name], "--grace", grace)
        variables = {"SLOTWORKS_WITHOUT_UVLOOP": "1"} if "without" in kind else {}
        variables |= {"SLOTWORKS_TRACED": "1"} if "traced" in kind else {}
        with super().one(*options, **variables) as worker:
            worker.kind = name
            yield worker


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    workers = Shared(works.app, "slotworks", tmp_path_factory.mktemp("shared"))
    yield workers
    workers.close()


@pytest.fixture
def own(tmp_path):
    """Starts a worker that no other test sees."""
    workers = Shared(works.app, "slotworks", tmp_path)
    yield workers.one
    workers.close()


@pytest.fixture(scope="module", autouse=True)
def held_up(tmp_path_factory):
    """A loop that is held up for longer than a lease. It is looked at last."""
    workers = Shared(works.app, "slotworks", tmp_path_factory.mktemp("held"))
    with workers.one("async") as worker:
        jobs = [works.sleeps.enqueue(1.0), works.blocks.enqueue(17.0)]
    yield worker, jobs
    workers.close()


@pytest.fixture
def threads(workers):
    with workers.one("thread") as worker:
        yield worker


@pytest.fixture
def loop(workers):
    with workers.one("async") as worker:
        yield worker


@pytest.fixture(params=["async", "async without uvloop"])
def either_loop(workers, request):
    """The loop that is installed, and the one that comes with Python."""
    if request.param == "async":
        pytest.importorskip("uvloop")
    with workers.one(request.param) as worker:
        yield worker


def ends(jobs):
    return [job.result(timeout=PATIENCE_S) for job in jobs]


# ---- Both kinds.


@pytest.fixture(params=MIXED)
def mixed(workers, request):
    with workers.one(request.param) as worker:
        yield worker


@pytest.fixture(params=MIXED)
def mixed_hasty(workers, request):
    """With a short grace, for bodies that have to be killed."""
    with workers.one(request.param, "200ms") as worker:
        yield worker


@pytest.fixture(params=MIXED)
def mixed_own(own, request):
    """One that the test stops."""
    with own(request.param) as worker:
        yield worker


@pytest.fixture(params=PLACES)
def anywhere(workers, request):
    """Slots of every kind."""
    with workers.one(request.param) as worker:
        yield worker


@pytest.fixture(params=PLACES)
def anywhere_hasty(workers, request):
    with workers.one(request.param, "200ms") as worker:
        yield worker


def test_functions_run_in_threads_and_coroutines_on_one_loop_of_the_same_child(mixed):
    pid, thread = works.where.enqueue().result(timeout=PATIENCE_S)
    apid, athread, same_loop = works.awhere.enqueue().result(timeout=PATIENCE_S)
    assert (apid, athread, same_loop) == (pid, "MainThread", True)
    assert thread.startswith("lineshaft-slot-")


def test_attempts_of_one_child_run_at_once(mixed, tmp_path):
    """One after another they would wait for each other for ever."""
    jobs = [task.enqueue(str(tmp_path / "met"), 8) for _ in range(4) for task in (works.meets, works.ameets)]
    assert len(set(ends(jobs))) == 1


def test_output_progress_and_current_belong_to_their_attempt(mixed):
    words = [f"word{number}" for number in range(4)]
    jobs = [works.talks.enqueue(word) for word in words] + [works.atalks.enqueue(word) for word in words]
    assert ends(jobs) == [job.id for job in jobs]
    for word, job in zip(words * 2, jobs, strict=True):
        error = f"{word} error\n" if job.task == "slotworks.talks" else ""
        assert job.output() == "".join(f"{word} {number}\n" for number in range(5)) + error
    for word, job in zip(words * 2, jobs, strict=True):
        name = job.task.partition(".")[2]

        def is_said(start=f"{name}·", end=f" | {word} 3", job=job):
            lines = [line for line in mixed.said().splitlines() if line.startswith(start) and line.endswith(end)]
            return any(line.partition(" ")[0].partition("·")[2] in job.id for line in lines)

        until(is_said, "what it prints is repeated with its name")


def test_the_threads_of_a_body_belong_to_its_attempt(anywhere):
    """`current.checkpoint` in a crawler's pool kept nothing, without a word."""
    jobs = [task.enqueue(number) for number in range(12) for task in (works.parts, works.aparts)]
    for job in jobs:
        told = job.result(timeout=PATIENCE_S)
        number = jobs.index(job) // 2
        assert told[0] == (job.id, None)
        assert set(map(repr, told[1:])) == {repr((job.id, [number, job.id]))}
        assert job.output() == f"part {number}\n" * len(told)
        assert job.progress() in (None, number)


def test_a_thread_that_belongs_to_no_attempt_is_warned_that_nothing_is_kept(anywhere):
    assert works.no_part.enqueue().result(timeout=PATIENCE_S) is None
    words = "RuntimeWarning: current.checkpoint() in a thread that belongs to no attempt: nothing is kept"
    assert "slotworks.py:" in anywhere.until_said(words)


def test_attempts_do_not_see_each_others_context(mixed):
    jobs = [task.enqueue(str(number)) for number in range(20) for task in (works.sets, works.asets)]
    assert set(ends(jobs)) == {"untouched"}


def test_a_cancelled_attempt_hears_of_it_and_the_others_do_not(mixed, tmp_path):
    others = [task.enqueue(str(tmp_path / "others")) for task in (works.holds, works.aholds)]
    path, apath = tmp_path / "thread", tmp_path / "loop"
    job, ajob = works.waits.enqueue(str(path)), works.awaits.enqueue(str(apath))
    text_of(path), text_of(apath)
    for one in (job, ajob):
        assert one.cancel()
        with pytest.raises(TaskCancelled):
            one.result(timeout=PATIENCE_S)
    assert path.read_text() == "start\nCancelled: the job was cancelled; cancelled=True\n"
    assert apath.read_text() == "start\nCancelledError: the job was cancelled; cancelled=True\n"
    (tmp_path / "others.go").touch()
    assert len(set(ends(others))) == 1


def test_an_attempt_that_takes_too_long_is_interrupted(mixed, tmp_path):
    path, apath = tmp_path / "thread", tmp_path / "loop"
    jobs = [works.too_long.enqueue(str(path)), works.atoo_long.enqueue(str(apath))]
    for job, where, name in zip(jobs, (path, apath), ("TimedOut", "CancelledError"), strict=True):
        with pytest.raises(TaskTimeout):
            job.result(timeout=PATIENCE_S)
        assert where.read_text() == f"start\n{name}: the attempt ran longer than its timeout; cancelled=True\n"


@pytest.fixture(params=["async", "async without uvloop"])
def patient(workers, request):
    """A worker that would rather wait than kill a child with many slots."""
    with workers.one(request.param, "60s") as worker:
        yield worker


def test_what_a_stopped_attempt_started_ends_with_it_and_nothing_else_does(patient, tmp_path):
    """It went on; and where the body waits for a process, its neighbours were killed with it after the grace."""
    pid = works.where.enqueue().result(timeout=PATIENCE_S)[0]
    ways = ("waits", "leaves", "forks", "multiprocessing", "other")
    calls = {way: works.starts.si(str(tmp_path / way), way) for way in ways}
    calls["coroutine"] = works.astarts.si(str(tmp_path / "coroutine"))
    jobs = dict(zip(calls, works.app.enqueue_many(calls.values()), strict=True))
    processes = {way: [int(word) for word in text_of(tmp_path / way).split()] for way in calls}
    other = jobs.pop("other")
    for job in jobs.values():
        job.cancel()
    for way, job in jobs.items():
        with pytest.raises(TaskCancelled):
            job.result(timeout=PATIENCE_S)
        assert not any(map(is_alive, processes[way])), way
    assert all(map(is_alive, processes["other"]))
    other.cancel()
    other.wait(timeout=PATIENCE_S)
    assert works.where.enqueue().result(timeout=PATIENCE_S)[0] == pid, "nobody's child was killed for it"


def test_sys_exit_is_an_error_of_the_attempt_not_the_end_of_the_child(mixed):
    pid = works.where.enqueue().result(timeout=PATIENCE_S)[0]
    for task in (works.exits, works.aexits):
        with pytest.raises(TaskFailed) as caught:
            task.enqueue().result(timeout=PATIENCE_S)
        assert caught.value.types[0] == "builtins.SystemExit"
    assert works.where.enqueue().result(timeout=PATIENCE_S)[0] == pid


def test_the_neighbours_of_an_attempt_that_must_be_killed_are_released_and_run_again(mixed_hasty, tmp_path):
    path = tmp_path / "ledger"
    neighbour = works.holds.enqueue(str(path))
    aneighbour = works.awaits.enqueue(str(tmp_path / "aneighbour"))
    text_of(path)
    deaf = works.deaf.enqueue()
    with pytest.raises(TaskTimeout, match="ran longer"):
        deaf.result(timeout=PATIENCE_S)
    assert [attempt.outcome for attempt in deaf.attempts()] == ["timed_out"]
    path.with_name("ledger.go").touch()
    neighbour.result(timeout=PATIENCE_S)
    assert [attempt.outcome for attempt in neighbour.attempts()] == ["released", "succeeded"]
    assert neighbour.refresh().record.crashes == 0
    assert path.read_text().count("start") == 2
    assert aneighbour.attempts()[0].outcome == "released"
    aneighbour.cancel()


@pytest.mark.parametrize("dies", ["child", "worker"])
def test_a_child_that_is_killed_takes_with_it_what_its_attempts_started_elsewhere(own, tmp_path, dies):
    """In a session of its own it went on for ever, and its attempt began again beside it."""
    with own("async", "200ms") as worker:
        job = works.astarts.enqueue(str(tmp_path / "coroutine"))
        started = [int(word) for word in text_of(tmp_path / "coroutine").split()]
        if dies == "worker":
            worker.kill()
            until(lambda: not any(map(is_alive, started)), "they end with the worker")
            return
        (tmp_path / "coroutine").unlink()
        with pytest.raises(TaskTimeout):
            works.deaf.enqueue().result(timeout=PATIENCE_S)
        assert not any(map(is_alive, started))
        started = [int(word) for word in text_of(tmp_path / "coroutine").split()]
        job.cancel()
        with pytest.raises(TaskCancelled):
            job.result(timeout=PATIENCE_S)
        assert not any(map(is_alive, started))
        assert job.attempts()[0].outcome == "released"


def test_sigterm_drains(mixed_own, tmp_path):
    path = tmp_path / "ledger"
    jobs = [works.notes.enqueue(str(path), 0.3), works.sleeps.enqueue(0.3)]
    text_of(path)
    until(lambda: jobs[1].refresh().state == "running", "both run")
    code, out = mixed_own.stopped()
    assert (code, "Traceback" in out) == (0, False), out
    assert [job.refresh().state for job in jobs] == ["completed"] * 2


def test_what_outlasts_the_grace_is_cancelled_and_runs_again(mixed_own, tmp_path):
    path, apath = tmp_path / "thread", tmp_path / "loop"
    jobs = [works.waits.enqueue(str(path)), works.awaits.enqueue(str(apath))]
    text_of(path), text_of(apath)
    code, out = mixed_own.stopped()
    assert code == 0, out
    assert "the worker stops, and its grace is over" in path.read_text()
    assert "CancelledError: the worker stops, and its grace is over" in apath.read_text()
    assert [job.refresh().state for job in jobs] == ["available"] * 2


def test_after_says_when_a_failed_attempt_is_tried_again(mixed):
    jobs = [works.fails_once.enqueue(), works.afails_once.enqueue()]
    assert ends(jobs) == [2, 2]
    jobs = [works.fails_twice.enqueue(), works.afails_twice.enqueue()]
    assert ends(jobs) == [3, 3]
    for job in jobs:
        assert [attempt.outcome for attempt in job.attempts()] == ["errored", "errored", "succeeded"]
        which = f"lineshaft: `after` of task {job.task} (job {job.id}, attempt 2)"
        mixed.until_said(f"{which} raised LookupError: no table of delays")


def test_an_expected_error_is_recorded_without_a_traceback(anywhere):
    jobs = [works.charges.enqueue("declined"), works.acharges.enqueue("declined")]
    for job, attempts in zip(jobs, (2, 1), strict=True):
        with pytest.raises(TaskFailed, match="no funds") as caught:
            job.result(timeout=PATIENCE_S)
        assert (caught.value.types[0], caught.value.message) == ("slotworks.Declined", "no funds")
        assert caught.value.traceback is None
        assert "Traceback" not in "".join(getattr(caught.value, "__notes__", []))
        assert type(caught.value.__cause__) is works.Declined
        ended = job.attempts()
        assert [(one.outcome, one.error.message, one.error.traceback) for one in ended] == [
            ("errored", "no funds", None)
        ] * attempts
    works.talks.enqueue("later").result(timeout=PATIENCE_S)
    anywhere.until_said("later 4")
    out = anywhere.until_said("later error")
    assert "Declined" not in out
    assert "Traceback" not in out


def test_an_expected_error_is_tried_again_by_the_same_rules_as_any_other(anywhere):
    for kind, attempts, reason in (("declined", 2, "max_attempts"), ("key", 1, "never_retried")):
        with pytest.raises(TaskFailed) as caught:
            works.charges.enqueue(kind).result(timeout=PATIENCE_S)
        assert (caught.value.attempt, caught.value.reason, caught.value.traceback) == (attempts, reason, None)


def test_an_error_that_is_not_expected_keeps_its_traceback(anywhere):
    for task in (works.charges, works.acharges):
        with pytest.raises(TaskFailed) as caught:
            task.enqueue("value").result(timeout=PATIENCE_S)
        assert "in charges" in caught.value.traceback


# ---- Shields.


def called_off(job, path):
    """What a job wrote that is cancelled once it has started."""
    text_of(path)
    assert job.cancel()
    with pytest.raises(TaskCancelled):
        job.result(timeout=PATIENCE_S)
    return path.read_text()


def test_a_shield_holds_a_cancellation_back_until_the_outermost_one_closes(anywhere, tmp_path):
    path, apath = tmp_path / "def", tmp_path / "async"
    held = "start\ninner\nouter\n{}: the job was cancelled\ntidied\n"
    assert called_off(works.shields.enqueue(str(path)), path) == held.format("Cancelled")
    name = "Cancelled" if anywhere.kind == "process" else "CancelledError"
    assert called_off(works.ashields.enqueue(str(apath)), apath) == held.format(name)


def test_a_shield_holds_a_timeout_back_until_the_outermost_one_closes(anywhere, tmp_path):
    path, apath = tmp_path / "def", tmp_path / "async"
    name = "TimedOut" if anywhere.kind == "process" else "CancelledError"
    jobs = [works.shields_too_long.enqueue(str(path)), works.ashields_too_long.enqueue(str(apath))]
    for job, where, error in zip(jobs, (path, apath), ("TimedOut", name), strict=True):
        with pytest.raises(TaskTimeout):
            job.result(timeout=PATIENCE_S)
        late = "the attempt ran longer than its timeout"
        assert where.read_text() == f"start\ninner\nouter\n{error}: {late}\ntidied\n"


def test_a_shield_that_outlasts_the_grace_is_killed(anywhere_hasty, tmp_path):
    for task in (works.shields_for_ever, works.ashields_for_ever):
        path = tmp_path / task.name
        with pytest.raises(TaskTimeout):
            task.enqueue(str(path)).result(timeout=PATIENCE_S)
        assert path.read_text() == "start\n"
    assert works.whole.enqueue("after it").result(timeout=PATIENCE_S) == 19_900


def test_a_shield_of_a_thread_or_a_task_of_the_body_is_one_of_the_attempt(anywhere, tmp_path):
    for task in (works.shields_in_a_thread, works.ashields_in_a_task, works.ashields_in_a_thread):
        path = tmp_path / task.name
        told = called_off(task.enqueue(str(path)), path)
        assert told.startswith("start\nclosing\nCancelled"), told


def test_a_shield_is_never_torn_apart_nor_gets_into_the_next_attempt(anywhere, tmp_path):
    """Requests to stop come while shields open and close; of the jobs after them not one may hear of it."""
    works.whole.enqueue("first").result(timeout=PATIENCE_S)
    count = 24 if anywhere.kind == "process" else 120
    tasks = (works.about_shielded, works.about_ashielded)
    path = str(tmp_path / "torn")
    late = [task.enqueue(path, 0.02 + 0.001 * (n * 7 % 60)) for n in range(count // 2) for task in tasks]
    others = works.whole.enqueue_many(works.whole.si("other") for _ in range(200))
    late += [task.enqueue(path, 0.02 + 0.001 * (n * 7 % 60)) for n in range(count // 2) for task in tasks]
    for job in works.app.as_completed(others, timeout=120):
        assert job.result() == 19_900
    assert {attempt.outcome for job in others for attempt in job.attempts()} == {"succeeded"}
    for job in late:
        job.wait(timeout=PATIENCE_S)
    assert not (tmp_path / "torn").exists(), "a shield was torn apart"
    outcomes = {attempt.outcome for job in late for attempt in job.attempts()}
    # On a busy machine a body may outlive its grace, and its child's neighbours are handed back.
    assert outcomes <= {"succeeded", "timed_out", "released"}
    assert "timed_out" in outcomes, "the interruptions came at no interesting time"


@pytest.mark.parametrize(("kind", "said"), [("thread", "nobody knows this thread"), ("async", "no task is to be had")])
def test_what_the_worker_itself_fails_at_ends_the_attempt(own, kind, said):
    """The attempt had no end: its lease was renewed for ever, and its slot was lost."""
    breaks, job = (works.breaks_threads, works.where) if kind == "thread" else (works.breaks_coroutines, works.awhere)
    with own(kind, slots="1"):
        breaks.enqueue().result(timeout=PATIENCE_S)
        with pytest.raises(TaskFailed, match=f"the worker could not carry the attempt out: {said}"):
            job.enqueue().result(timeout=PATIENCE_S)
        assert job.enqueue().result(timeout=PATIENCE_S)[1] in ("lineshaft-slot-1", "MainThread")


def test_a_body_that_closes_the_descriptors_of_its_worker_is_a_crash(anywhere):
    """The process lived on without its connection, and every later job of its slots waited for ever."""
    with pytest.raises(TaskCrashed):
        works.closes_descriptors.enqueue().result(timeout=PATIENCE_S)
    assert works.whole.enqueue("after it").result(timeout=PATIENCE_S) == 19_900


def test_copies_that_a_body_forks_end_when_they_are_told_to(anywhere):
    """They had the worker's handlers: `multiprocessing.Pool` waited for ever for its terminated processes."""
    assert works.terminates_a_copy.enqueue().result(timeout=PATIENCE_S) == -signal.SIGTERM


def test_the_words_of_attempts_whose_process_died_are_kept(mixed, tmp_path):
    """Those of threads and coroutines were lost with their process."""
    jobs = [works.dies_talking.enqueue(str(tmp_path / "all"), number) for number in range(2)]
    for number, job in enumerate(jobs):
        with pytest.raises(TaskCrashed) as crashed:
            job.result(timeout=PATIENCE_S)
        assert crashed.value.last_output == f"last words of {number}\n"
        assert [attempt.output for attempt in job.attempts()] == [f"last words of {number}\n"] * 3


def test_the_words_of_hundreds_whose_process_died_are_kept(own):
    """Those in slots beyond the first 64 were lost with their process."""
    with own("async", slots="300"):
        jobs = works.app.enqueue_many(works.adies_talking.si(number, 300) for number in range(300))
        for number, job in enumerate(jobs):
            job.result(timeout=PATIENCE_S)
            assert [attempt.output for attempt in job.attempts()] == [f"last words of {number}\n", ""]


def test_a_shield_outside_of_a_job_does_nothing():
    with current.shield() as given, current.shield():
        assert given is None
    with pytest.raises(KeyError), current.shield():
        raise KeyError("as ever")


# ---- Threads.


def test_an_interruption_never_gets_into_the_next_attempt(threads):
    """Some are interrupted at their very end; of the others in the same threads not one may hear of it."""
    late = works.about_in_time.enqueue_many(works.about_in_time.si(0.02 + 0.001 * (n % 60)) for n in range(120))
    others = works.short.enqueue_many(works.short.si(2_000) for _ in range(600))
    late += works.about_in_time.enqueue_many(works.about_in_time.si(0.02 + 0.001 * (n % 60)) for n in range(120))
    for job in works.app.as_completed(others, timeout=120):
        assert job.result() == 1_999_000
    assert {attempt.outcome for job in others for attempt in job.attempts()} == {"succeeded"}
    for job in late:
        job.wait(timeout=PATIENCE_S)
    outcomes = [attempt.outcome for job in late for attempt in job.attempts()]
    assert set(outcomes) == {"succeeded", "timed_out"}, "the interruptions came at no interesting time"


def test_bodies_under_a_tracer_are_interrupted_like_others(own, tmp_path):
    """In CPython 3.11 the thread of one that had been never got into another function, so that its child was killed."""
    with own("thread", slots="1"):
        pid = works.traces.enqueue().result(timeout=PATIENCE_S)
        with pytest.raises(TaskTimeout):
            works.too_long.enqueue(str(tmp_path / "notes")).result(timeout=PATIENCE_S)
        assert "TimedOut" in (tmp_path / "notes").read_text()
        late = works.about_in_time.enqueue_many(works.about_in_time.si(0.001 * n) for n in range(60))
        for job in late:
            job.wait(timeout=PATIENCE_S)
        outcomes = [attempt.outcome for job in late for attempt in job.attempts()]
        assert set(outcomes) == {"succeeded", "timed_out"}
        assert works.is_traced.enqueue().result(timeout=PATIENCE_S) == (pid, True)


def test_a_body_that_does_not_hear_holds_up_nobody_under_a_tracer(own, tmp_path):
    """In CPython 3.11 the thread that ends what it waits for got into no function, until the child was killed."""
    with own("thread traced", "60s"):
        pid = works.where.enqueue().result(timeout=PATIENCE_S)[0]
        job = works.starts.enqueue(str(tmp_path / "waits"), "waits")
        started = [int(word) for word in text_of(tmp_path / "waits").split()]
        job.cancel()
        with pytest.raises(TaskCancelled):
            job.result(timeout=PATIENCE_S / 2)
        assert not any(map(is_alive, started))
        assert works.where.enqueue().result(timeout=PATIENCE_S)[0] == pid


# ---- A loop.


def test_the_loop_is_uvloop_where_it_is_installed(loop):
    pytest.importorskip("uvloop")
    assert works.loop_kind.enqueue().result(timeout=PATIENCE_S) == "uvloop"


def test_copies_that_a_thread_forks_may_print_while_other_threads_do(threads, tmp_path):
    """A copy waited for ever for the lock of the outputs, which another thread had held at the fork."""
    others = [works.chatters.enqueue(str(tmp_path / "others")) for _ in range(4)]
    assert set(works.copies.enqueue(20).result(timeout=PATIENCE_S)) == {7}
    (tmp_path / "others.go").touch()
    ends(others)
    until(lambda: threads.said().count("said by a copy") == 20, "what the copies print is repeated")


@pytest.mark.parametrize("way", ["returns", "awaits", "in a task"])
def test_a_copy_that_a_coroutine_forks_ends_instead_of_running_the_loop_again(either_loop, tmp_path, way):
    """The copy went on with every coroutine of the loop, so that all of them ran twice; later only in uvloop."""
    came_back, ticks = tmp_path / "copy", tmp_path / "ticks"
    neighbours = [works.ticks.enqueue(str(ticks)) for _ in range(3)]
    text_of(ticks)
    assert works.acopies.enqueue(str(came_back), way).result(timeout=PATIENCE_S) == 1
    ticks.with_name("ticks.go").touch()
    ends(neighbours)
    assert not came_back.exists()
    assert len(set(ticks.read_text().split())) == 1
    either_loop.until_said("task slotworks.acopies forked, and the copy returned from the body; it ends here")


def test_what_a_job_leaves_behind_is_cancelled_with_it(loop, tmp_path):
    path = tmp_path / "left"
    works.leaves.enqueue(str(path)).result(timeout=PATIENCE_S)
    assert path.read_text() == "left behind: the job that started this task is over\n"


def test_an_error_of_a_coroutine_keeps_its_type_and_traceback(loop):
    with pytest.raises(TaskFailed, match="not today") as caught:
        works.fails.enqueue().result(timeout=PATIENCE_S)
    assert caught.value.types[0] == "builtins.ValueError"
    assert "in fails" in caught.value.traceback


def test_a_coroutine_that_blocks_beyond_its_timeout_is_killed_with_its_child(workers):
    with workers.one("async", "200ms"):
        with pytest.raises(TaskTimeout):
            works.adeaf.enqueue().result(timeout=PATIENCE_S)
        assert works.awhere.enqueue().result(timeout=PATIENCE_S)[1] == "MainThread"


def test_thousands_of_jobs_are_awake_at_once_in_one_child(own):
    """Each one waits for all of the others."""
    with own("async", slots="3000"):
        jobs = works.gathers.enqueue_many(works.gathers.si(3_000) for _ in range(3_000))
        assert len({job.result() for job in works.app.as_completed(jobs, timeout=PATIENCE_S)}) == 1


# ---- The face.


def test_workers_of_a_block_may_have_slots(home, tmp_path):
    with works.app.override(home=home):
        with works.app.workers(1, slots=4, kind="thread"):
            jobs = [works.meets.enqueue(str(tmp_path / "met"), 4) for _ in range(4)]
            assert len(set(ends(jobs))) == 1
        with works.app.workers(1, kind="async"):
            assert len(set(ends([works.ameets.enqueue(str(tmp_path / "all"), 50) for _ in range(50)]))) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"kind": "fibre"},
            """option `kind`: 'fibre' is not accepted
  hint: accepted: "process" (default), "thread" or "async\"""",
        ),
        (
            {"slots": 2},
            """option `slots`: 2 is not accepted
  hint: accepted: 1, unless kind is "thread" or "async\"""",
        ),
        (
            {"slots": 20_000, "kind": "async"},
            """option `slots`: 20000 is not accepted
  hint: accepted: a number from 1 to 16,384""",
        ),
        (
            {"slots": True, "kind": "thread"},
            """option `slots`: True is not accepted
  hint: accepted: a number from 1 to 16,384""",
        ),
    ],
)
def test_slots_that_make_no_sense_are_refused(options, message):
    for call in (works.app.workers, works.app.run_worker):
        with pytest.raises(OptionError) as caught:
            call(1, **options)
        assert str(caught.value) == message


# ---- Last, because it has been going on since the first test.


def test_a_job_that_holds_the_loop_up_is_named_while_leases_live_on(held_up):
    worker, (waiting, job) = held_up
    with works.app.override(home=worker.home):
        for one in (job, waiting):
            one.result(timeout=PATIENCE_S)
        assert [attempt.outcome for attempt in job.attempts()] == ["succeeded"]
    _, out = worker.stopped()
    lines = [line for line in out.splitlines() if "has held up the event loop" in line]
    assert len(lines) == 1, out
    assert f"task slotworks.blocks (job {job.id})" in lines[0]
    assert "slotworks.py:" in lines[0]
    assert "in blocks" in lines[0]
