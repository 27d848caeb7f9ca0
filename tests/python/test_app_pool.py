"""`app.pool()`: the verbs of a pool, each item a job.

Jobs run in threads of the test; `test_app_pool_kills.py` has those whose processes die.
"""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import sys
import threading
from functools import partial

import pytest

import lineshaft
from lineshaft import App, DeclarationError, OptionError, SerializationError, TaskCancelled, TaskFailed, Tasks
from lineshaft.testing import enqueued
from support.processes import until

app = App()
tasks = Tasks()
gate = threading.Event()
"""What `hold` waits for."""


tried: list[int] = []
"""What `flaky` was called with."""


class Unfit(Exception):
    """Known to the app, since a task of this module may raise it."""


@app.task
def square(x: int) -> int:
    return x * x


@app.task
def greet(name: str, *, politely: bool = False) -> str:
    return f"dear {name}" if politely else name


@app.task
def fail(number: int) -> int:
    if number % 3 == 2:
        raise ValueError(f"not {number}")
    return number


@app.task
def unfit() -> None:
    raise Unfit("as it is", 7)


@app.task
def strange() -> None:
    raise type("Strange", (Exception,), {})("unheard of")


@app.task
def stops(x: int) -> None:
    raise StopIteration


@app.task(retries=lineshaft.Retry(3, first=0))
def flaky(x: int) -> int:
    tried.append(x)
    if tried.count(x) < 2:
        raise ConnectionError(x)
    return x


@app.task
def hold(number: int) -> int:
    while not gate.wait(0.01):
        pass  # a thread hears of being cancelled between two steps
    return number


@app.task
def size(data: bytes) -> int:
    return len(data)


@app.task(result=False)
def forgets(x: int) -> int:
    return x


@app.task(unique="args")
def once(x: int) -> int:
    while not gate.wait(0.01):
        pass
    return x


@app.task
async def later(x: int) -> int:
    return x + 1


@app.task
def total(n: int) -> int:
    with app.pool() as pool:
        return sum(pool.map(square, range(n)))


@tasks.task
def twice(x: int) -> int:
    return 2 * x


app.include(tasks)
other = App("/elsewhere/home")
other.include(tasks)


@other.task
def theirs(x: int) -> int:
    return x


@pytest.fixture(autouse=True)
def closed_gate():
    gate.clear()
    yield
    gate.set()


@pytest.fixture(params=[False, True], ids=["", "durable"])
def pool(request):
    with app.pool(durable=request.param) as pool:
        yield pool


def test_the_verbs_give_what_those_of_a_pool_give(pool):
    assert pool.apply(greet, ("Ada",), {"politely": True}) == "dear Ada"
    assert pool.map(square, range(3_000)) == list(map(square, range(3_000)))
    assert pool.map(square, iter([3, 1, 2]), 2) == [9, 1, 4]
    assert pool.starmap(greet, [("Ada",), ("Grace",)]) == ["Ada", "Grace"]
    assert pool.starmap_async(square, zip(range(5))).get(60) == [0, 1, 4, 9, 16]
    assert list(pool.imap(square, range(50))) == list(map(square, range(50)))
    assert list(pool.imap(square, iter(range(2_500)), chunksize=7)) == list(map(square, range(2_500)))
    assert sorted(pool.imap_unordered(square, set(range(50)))) == list(map(square, range(50)))
    assert pool.map(later, range(3)) == [1, 2, 3]
    assert pool.map(square.using(priority="high", tags=["front"]), [4]) == [16]
    assert pool.map(forgets, [1, 2]) == [None, None]


def test_nothing_to_do_is_done_at_once(pool):
    seen: list[object] = []
    assert pool.map(square, []) == []
    assert pool.map_async(square, [], callback=seen.append).get(60) == []
    assert seen == [[]]
    assert list(pool.imap(square, [])) == list(pool.imap_unordered(square, iter([]))) == []


def test_results_may_be_asked_for_later(pool):
    seen: list[object] = []
    held = pool.map_async(hold, [1, 2], callback=seen.append)
    assert not held.ready()
    with pytest.raises(ValueError, match="not ready"):
        held.successful()
    with pytest.raises(multiprocessing.TimeoutError):
        held.get(0.01)
    with pytest.raises(multiprocessing.TimeoutError):
        pool.imap(hold, [1]).next(0.01)
    gate.set()
    assert held.get(60) == [1, 2]
    assert held.successful()
    assert seen == [[1, 2]]


def test_what_a_task_raises_is_raised_and_the_others_are_done(pool):
    seen: list[BaseException] = []
    result = pool.map_async(fail, range(6), error_callback=seen.append)
    with pytest.raises(ValueError, match=r"^not 2$") as raised:
        result.get(60)
    assert isinstance(raised.value.__cause__, TaskFailed)
    assert "in fail" in raised.value.__cause__.traceback
    assert seen == [raised.value]
    assert {place: str(error) for place, error in result.failures.items()} == {2: "not 2", 5: "not 5"}
    results = pool.imap(fail, range(4))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="not 2"):
        next(results)
    assert list(results) == [3]


def test_the_original_is_of_a_class_that_is_known_here_and_else_it_is_told(pool):
    with pytest.raises(Unfit) as raised:
        pool.apply(unfit)
    assert raised.value.args == ("as it is", 7)
    with pytest.raises(TaskFailed, match="unheard of"):
        pool.apply(strange)
    with pytest.raises(TaskFailed, match="StopIteration"):
        next(pool.imap(stops, [1]))


def test_options_of_a_task_count_for_each_item(pool):
    tried.clear()
    assert pool.map(flaky, [1, 2]) == [1, 2]
    assert sorted(tried) == [1, 1, 2, 2]


def test_what_an_iterable_raises_comes_in_its_place(pool):
    def items():
        yield from range(3)
        raise KeyError("no more")

    results = pool.imap(square, items())
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    with pytest.raises(KeyError, match="no more"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)
    with pytest.raises(KeyError, match="no more"):
        pool.map(square, items())


def test_an_item_that_cannot_be_sent_fails_alone_and_is_named(pool):
    items = [0, sys, 2, 3, sys, 5]
    result = pool.map_async(square, items)
    with pytest.raises(SerializationError, match=r"item 1: .*square: args\[0\]: module is not a value"):
        result.get(60)
    assert sorted(result.failures) == [1, 4]
    assert len(result.jobs) == 4
    outcomes = []
    results = pool.imap(square, iter(items))
    while len(outcomes) < 6:
        try:
            outcomes.append(next(results))
        except SerializationError:
            outcomes.append(None)
    assert outcomes == [0, None, 4, 9, None, 25]


def test_large_items_go_in_requests_of_few(pool):
    sizes = [number << 20 for number in range(9)]
    assert pool.map(size, [bytes(size) for size in sizes]) == sizes


def test_arguments_that_do_not_fit_fail_their_item(pool):
    result = pool.starmap_async(square, [(1,), (1, 2), 3, (4,)])
    with pytest.raises(TypeError, match="square"):
        result.get(60)
    assert sorted(result.failures) == [1, 2]


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (len, r"app\.pool\(\)\.map\(\) takes a task of the app, and builtins\.len is none: declare it with @app\.task"),
        (lambda x: x, r"<lambda> is none: .*lineshaft\.Pool\(\)\.map\(\)"),
        (partial(square, 1), r"functools\.partial"),
        (square.si(1), "give the task itself"),
        (None, "None is none"),
    ],
    ids=["function", "lambda", "partial", "call", "None"],
)
def test_what_is_no_task_is_refused_with_the_fix(pool, thing, words):
    with pytest.raises(TypeError, match=words):
        pool.map(thing, [1])
    assert enqueued() == []


def test_a_task_of_another_home_is_refused_and_one_of_two_apps_is_that_of_the_pool(pool):
    with pytest.raises(DeclarationError, match="theirs is a task of an app with the home /elsewhere/home"):
        pool.map(theirs, [1])
    assert pool.map(twice, [1, 2]) == [2, 4]
    assert pool.map(twice.using(tags=["x"]), [3]) == [6]
    assert {made.job._app for made in enqueued()} == {app}


@pytest.mark.parametrize("options", [{"ahead": 0}, {"ahead": "1"}, {"durable": 1}, {"queue": "no such"}])
def test_wrong_options_are_refused(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        app.pool(**options)


def test_an_iterator_is_read_so_many_items_ahead_of_what_is_done():
    read = itertools.count()
    with app.pool(ahead=8) as pool:
        results = pool.imap(hold, read)
        until(lambda: len(enqueued(hold)) == 8, "eight jobs")
        assert square.enqueue(3).result(60) == 9
        assert next(read) == 8
        gate.set()
        assert [next(results) for _ in range(20)] == [*range(8), *range(9, 21)]


def test_an_iterator_is_not_read_on_when_nobody_takes_the_results():
    read = itertools.count()
    with app.pool(ahead=5) as pool:
        results = pool.imap_unordered(square, read)
        until(lambda: len(results._ready) == 5, "five results")
        assert pool.apply(square, (3,)) == 9
        assert next(read) == 5
        next(results)
        until(lambda: len(enqueued(square)) == 7, "one more")
        assert next(read) == 7


def test_a_list_is_not_sent_on_when_nobody_takes_the_results():
    with app.pool(ahead=5) as pool:
        results = pool.imap(square, list(range(100)))
        until(lambda: len(results._ready) == 5, "five results")
        assert pool.apply(square, (3,)) == 9
        assert len(enqueued(square)) == 6
        assert list(results) == [x * x for x in range(100)]


def test_join_does_all_though_nobody_takes_the_results():
    with app.pool(ahead=5) as pool:
        results = [pool.imap(square, iter(range(30))), pool.imap(square, list(range(30)))]
        pool.close()
        pool.join()
        assert [list(each) for each in results] == [[x * x for x in range(30)]] * 2


def test_a_durable_pool_makes_all_jobs_however_many_results_may_wait():
    with app.pool(durable=True, ahead=5) as pool:
        result = pool.map_async(hold, range(2_500))
        assert len(result.jobs) == 2_500
        results = pool.imap(hold, iter(range(1_200)))
        until(lambda: len(enqueued(hold)) == 3_700, "all of them")
        gate.set()
        assert result.get(60) == list(range(2_500))
        assert list(results) == list(range(1_200))


def test_ahead_of_one_does_items_one_after_the_other():
    with app.pool(ahead=1) as pool:
        assert pool.map(square, range(20)) == [x * x for x in range(20)]
        assert list(pool.imap(square, iter(range(20)))) == [x * x for x in range(20)]


def test_an_exception_in_the_block_cancels_what_has_not_ended():
    pool = app.pool()
    try:
        with pool:
            results = pool.imap(square, itertools.count())
            assert next(results) == 0
            held = pool.map_async(hold, range(30))
            until(lambda: len(held.jobs) == 30, "jobs")
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    with pytest.raises(TaskCancelled):
        held.get(60)
    with pytest.raises(TaskCancelled):
        list(results)
    pool.join()
    assert {job.wait(60).state for job in held.jobs} == {"cancelled"}
    with pytest.raises(ValueError, match="not running"):
        pool.map(square, [1])


def test_leaving_a_durable_pool_cancels_nothing():
    try:
        with app.pool(durable=True) as pool:
            held = pool.map_async(hold, range(30))
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    with pytest.raises(RuntimeError, match="its jobs go on"):
        held.get(60)
    gate.set()
    assert sorted(job.result(60) for job in app.as_completed(held.jobs)) == list(range(30))


def test_a_job_that_was_there_before_is_waited_for_and_not_cancelled():
    mine = once.enqueue(1)
    with app.pool() as pool:
        held = pool.map_async(once, [1, 1, 2])
        until(lambda: len(held.jobs) == 3, "jobs")
        pool.terminate()
        pool.join()
    first, again, second = held.jobs
    assert first == again == mine
    assert second.wait(60).state == "cancelled"
    gate.set()
    assert mine.result(60) == 1
    with app.pool() as pool:
        assert pool.map(once, [3, 3]) == [3, 3]


def test_a_closed_pool_does_what_it_was_given_and_takes_nothing_more():
    pool = app.pool()
    result = pool.map_async(hold, range(3))
    pool.close()
    with pytest.raises(ValueError, match="not running"):
        pool.apply(square, (1,))
    gate.set()
    pool.join()
    assert result.get(0) == [0, 1, 2]
    with app.pool() as another, pytest.raises(ValueError, match="still running"):
        another.join()


def drop(held: list[object]) -> None:
    """Lets go of what nobody else holds."""
    held.clear()
    gc.collect()


def test_a_pool_that_nobody_closed_is_named_and_its_thread_ends():
    pool = app.pool()
    assert pool.apply(square, (2,)) == 4
    held, thread = [pool], pool._driver._thread
    del pool
    with pytest.warns(ResourceWarning, match="unclosed running pool"):
        drop(held)
    thread.join(60)
    assert not thread.is_alive()


def test_two_pools_and_many_threads_at_once():
    sums: list[int] = []
    with app.pool(ahead=10) as one, app.pool() as two:
        callers = [
            threading.Thread(target=lambda pool=pool: sums.append(sum(pool.map(square, range(200)))))
            for pool in (one, two, one, two)
        ]
        for caller in callers:
            caller.start()
        assert list(two.imap(square, range(100))) == [x * x for x in range(100)]
        for caller in callers:
            caller.join(60)
    assert sums == [sum(x * x for x in range(200))] * 4


def test_a_callback_may_give_the_pool_more_to_do(pool):
    seen: list[int] = []
    done = threading.Event()

    def again(value: int) -> None:
        seen.append(value)
        if len(seen) < 5:
            pool.apply_async(square, (len(seen),), callback=again)
        else:
            done.set()

    pool.apply_async(square, (0,), callback=again)
    assert done.wait(60)
    assert seen == [0, 1, 4, 9, 16]


@pytest.mark.parametrize("callback", [lambda value: value / 0, sys.exit], ids=["raises", "exits"])
def test_a_callback_that_raises_breaks_nothing(pool, caplog, callback):
    result = pool.apply_async(square, (2,), callback=callback)
    assert result.get(60) == 4
    assert pool.apply(square, (3,)) == 9
    assert "a callback raised" in caplog.text


def test_an_iterable_that_exits_ends_the_results(pool):
    results = pool.imap(square, (sys.exit("enough") for _ in range(2)))
    with pytest.raises(SystemExit, match="enough"):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize(("chunksize", "error"), [(0, ValueError), (2.5, TypeError)])
def test_a_wrong_chunksize_is_refused(pool, chunksize, error):
    with pytest.raises(error, match=r"(?i)chunksize"):
        pool.map(square, [1], chunksize)


def test_many_calls_of_one_item_each(pool):
    results = [pool.apply_async(square, (x,)) for x in range(300)]
    assert [result.get(60) for result in results] == [x * x for x in range(300)]


def test_a_queue_of_the_pool_is_that_of_its_jobs():
    with app.pool(queue="inner") as pool:
        result = pool.map_async(square, [1])
        assert result.get(60) == [1]
        assert result.jobs[0].refresh().record.queue == "inner"


class Tagging(lineshaft.Hooks):
    """Refuses sevens, and hears of the others."""

    def __init__(self) -> None:
        self.heard: list[str | None] = []

    def before_enqueue(self, call):
        if call.args == (7,):
            raise PermissionError("no sevens")
        return call.using(tags=["pooled"])

    def after_enqueue(self, job):
        self.heard.append(job.task)


def test_hooks_are_told_of_each_item():
    hook = Tagging()
    hooked = App(hooks=[hook])
    hooked.include(tasks)
    with hooked.pool() as pool:
        result = pool.map_async(twice, [6, 7, 8])
        with pytest.raises(PermissionError, match="no sevens"):
            result.get(60)
        assert [job.refresh().record.tags for job in result.jobs] == [["pooled"], ["pooled"]]
    assert hook.heard == [f"{__name__}.twice"] * 2


def test_a_pool_in_a_task(pool):
    """Twenty bodies that wait, and sixteen threads: those that wait lend a slot.

    Jobs that had come to a lent slot and had not begun when it was taken back were left to their leases.
    """
    assert pool.map(total, range(20)) == [sum(x * x for x in range(n)) for n in range(20)]
    assert {tuple(attempt.outcome for attempt in made.job.attempts()) for made in enqueued()} == {("succeeded",)}


def test_a_pool_is_that_of_its_process():
    with app.pool() as pool:
        assert pool.apply(square, (2,)) == 4
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                pool.apply(square, (2,))
            except RuntimeError as error:
                os.write(write, str(error).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert b"and not of one that it forked" in os.read(read, 1_000)
        os.close(read)
        os.close(write)
        assert pool.apply(square, (3,)) == 9
