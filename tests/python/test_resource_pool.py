"""Pools of resources: never too many, in order, looked at, closed once, and nothing lost whatever is raised where."""

from __future__ import annotations

import logging
import os
import re
import threading
import time

import pytest

import lineshaft
from lineshaft import App, Cancelled, OptionError, ResourceClosed, ResourcePool, ResourceTimeout, WrongState
from support.faults import at_each_line
from support.processes import PATIENCE_S, until

OURS = "_resources"


class Things:
    """Opens numbers, and knows which of them are open."""

    def __init__(self, fails: int = 0) -> None:
        self.opened: list[int] = []
        self.closed: list[int] = []
        self.most = 0
        self.sick: set[int] = set()
        self.asked: list[int] = []
        self._fails = fails
        self._lock = threading.Lock()

    def open(self) -> int:
        with self._lock:
            if self._fails:
                self._fails -= 1
                raise ConnectionError("nobody listens")
            self.opened.append(len(self.opened))
            self.most = max(self.most, len(self.opened) - len(self.closed))
            return self.opened[-1]

    def close(self, thing: int) -> None:
        with self._lock:
            assert thing in self.opened
            assert thing not in self.closed
            self.closed.append(thing)

    def is_healthy(self, thing: int) -> bool:
        self.asked.append(thing)
        return thing not in self.sick

    def left(self) -> set[int]:
        return set(self.opened) - set(self.closed)


@pytest.fixture
def things():
    return Things()


def in_thread(run) -> threading.Thread:
    thread = threading.Thread(target=run)
    thread.start()
    return thread


# ---- Lending.


def test_what_is_given_back_is_lent_again_the_last_one_first(things):
    with ResourcePool(things.open, things.close, max=3) as pool:
        with pool.get() as first, pool.get() as second:
            assert (first, second) == (0, 1)
        with pool.get() as again:
            assert again == first  # given back last
        assert pool.info()[:7] == (3, 0, 2, 0, 2, 0, 3)
    assert things.left() == set()
    assert pool.info().closed == 2


def test_who_waits_is_served_in_the_order_of_asking(things):
    pool = ResourcePool(things.open, things.close, max=1)
    served: list[int] = []

    def wait(number: int) -> None:
        with pool.get():
            served.append(number)

    with pool.get():
        threads = []
        for number in range(5):
            threads.append(in_thread(lambda number=number: wait(number)))
            until(lambda count=number + 1: pool.info().waiting == count, "it waits")
        assert served == []
    for thread in threads:
        thread.join(PATIENCE_S)
    assert served == [0, 1, 2, 3, 4]
    assert things.opened == [0]
    assert pool.info().waits == 5
    pool.close()


def test_nobody_overtakes_those_who_wait(things):
    pool = ResourcePool(things.open, max=1)
    loan = pool.get()
    loan.__enter__()
    order: list[str] = []

    def wait() -> None:
        with pool.get():
            order.append("waited")

    thread = in_thread(wait)
    until(lambda: pool.info().waiting, "it waits")
    loan.__exit__(None, None, None)
    with pool.get():
        order.append("came later")
    thread.join(PATIENCE_S)
    assert order == ["waited", "came later"]


def test_never_more_than_max_in_many_threads_although_some_do_not_open():
    things = Things(fails=20)
    pool = ResourcePool(things.open, things.close, max=3, healthy=lambda thing: thing % 3, broken=ZeroDivisionError)
    inside, most, done = [], [], []

    def work() -> None:
        for number in range(100):
            try:
                with pool.get(timeout=PATIENCE_S) as thing:
                    inside.append(thing)
                    most.append(len(inside))
                    inside.remove(thing)
                    _ = 1 // (number % 7)
            except (ConnectionError, ZeroDivisionError):
                pass
        done.append(True)

    threads = [in_thread(work) for _ in range(8)]
    for thread in threads:
        thread.join(PATIENCE_S)
    pool.close(timeout=PATIENCE_S)
    assert len(done) == 8
    assert max(most) <= 3
    assert things.most <= 3
    assert things.left() == set()
    assert (pool.info().opened, pool.info().closed) == (len(things.opened), len(things.closed))
    assert pool.info().lent == 0


def test_a_wait_that_is_too_long_names_who_has_them_and_since_when(things):
    pool = ResourcePool(things.open, max=2, name="the database", timeout="10ms")
    with pool.get(), pool.get():
        with pytest.raises(ResourceTimeout) as caught, pool.get():
            pass
        here = rf"MainThread for \d+\.\d s \({re.escape(__file__)}:\d+\)"
        assert re.fullmatch(
            rf"no resource of the database came free within 0\.01 s: 2 of 2 are lent: {here}, {here}", str(caught.value)
        )
        assert isinstance(caught.value, TimeoutError)
        with pytest.raises(ResourceTimeout), pool.get(timeout=0):
            pass
        assert [(one.who, one.seconds < PATIENCE_S) for one in pool.holders()] == [("MainThread", True)] * 2
        assert pool.info().timeouts == 2
        assert "2 of 2 lent" in repr(pool)
    with pool.get():
        pass


app = App()
of_jobs = ResourcePool(object, max=1, name="that of jobs")


@app.task
def holds() -> str:
    with of_jobs.get():
        try:
            with of_jobs.get(timeout=0):
                return "never"
        except ResourceTimeout as error:
            return str(error)


def test_a_job_is_named_by_its_id():
    job = holds.enqueue()
    assert f"1 of 1 are lent: job {job.id}, lineshaft-slot" in job.result(PATIENCE_S)


# ---- What is broken.


def test_one_that_is_not_healthy_is_closed_and_replaced(things):
    with ResourcePool(things.open, things.close, healthy=things.is_healthy, max=1) as pool:
        with pool.get() as thing:
            assert thing == 0
        things.sick.add(0)
        with pool.get() as thing:
            assert (thing, things.closed) == (1, [0])
        with pool.get() as thing:
            assert thing == 1
    assert things.asked == [0, 1]


def test_only_what_has_rested_is_looked_at(things, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pool = ResourcePool(things.open, things.close, healthy=things.is_healthy, idle="30s", max=1)
    without = ResourcePool(things.open, things.close, idle="30s", max=1)
    for rested_s, asked in ((0, []), (29, []), (31, [0]), (1, [0])):
        now[0] += rested_s
        with pool.get() as thing:
            assert (thing, things.asked) == (0, asked)
    with without.get() as before:
        pass
    now[0] += 31
    with without.get() as after:
        assert (before, after, things.closed) == (1, 2, [1])


def test_a_look_that_raises_is_said_and_the_thing_is_replaced(things, caplog):
    def look(thing: int) -> bool:
        raise ConnectionError("gone")

    with ResourcePool(things.open, things.close, healthy=look, max=1, name="db") as pool:
        with pool.get():
            pass
        with pool.get() as thing:
            assert (thing, things.closed) == (1, [0])
    assert "a resource of db is not healthy" in caplog.text


def test_one_that_is_discarded_or_broken_by_an_error_of_the_body_is_not_lent_again(things):
    with ResourcePool(things.open, things.close, max=1, broken=(ConnectionError,)) as pool:
        with pool.get() as thing:
            pool.discard(thing)
            assert things.closed == []
        assert things.closed == [0]
        for error, closed in (
            (ValueError(), [0]),
            (ConnectionResetError(), [0, 1]),
            (KeyboardInterrupt(), [0, 1, 2]),
            (Cancelled(), [0, 1, 2, 3]),
        ):
            with pytest.raises(type(error)) as caught:
                raise_in(pool, error)
            assert caught.value is error
            assert things.closed == closed
        with pytest.raises(ValueError, match="77 is not lent by"):
            pool.discard(77)


def raise_in(pool, error: BaseException) -> None:
    with pool.get():
        raise error


def test_what_does_not_open_is_an_error_of_whoever_asked_and_takes_no_place():
    things = Things(fails=2)
    pool = ResourcePool(things.open, max=1)
    for _ in range(2):
        with pytest.raises(ConnectionError, match="nobody listens"), pool.get():
            pass
    with pool.get() as thing:
        assert thing == 0


def test_what_does_not_close_is_said_and_the_others_close_all_the_same(things, caplog):
    def refuse(thing: int) -> None:
        things.close(thing)
        raise OSError(f"not {thing}")

    pool = ResourcePool(things.open, refuse, max=2, name="db")
    with pool.get(), pool.get():
        pass
    pool.close()
    assert things.left() == set()
    assert caplog.text.count("a resource of db did not close") == 2


# ---- The end.


def test_close_waits_for_what_is_lent_and_sends_those_away_who_wait(things):
    pool = ResourcePool(things.open, things.close, max=1)
    holds, refused, goes_on = threading.Event(), [], threading.Event()

    def hold() -> None:
        with pool.get():
            holds.set()
            goes_on.wait(PATIENCE_S)

    def wait() -> None:
        try:
            with pool.get():
                pass
        except ResourceClosed as error:
            refused.append(error)

    holder = in_thread(hold)
    holds.wait(PATIENCE_S)
    waiter = in_thread(wait)
    until(lambda: pool.info().waiting, "it waits")
    with pytest.raises(ResourceTimeout, match=r"did not close within 0\.05 s: 1 of 1 are lent: Thread"):
        pool.close(timeout="50ms")
    waiter.join(PATIENCE_S)
    assert len(refused) == 1
    with pytest.raises(ResourceClosed), pool.get():
        pass
    closer = in_thread(pool.close)
    goes_on.set()
    for thread in (closer, holder):
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert things.left() == set()
    pool.close()


def test_close_in_a_block_of_its_own_says_that_it_would_wait_for_itself(things):
    pool = ResourcePool(things.open)
    with pool.get(), pytest.raises(WrongState, match="would wait for itself"):
        pool.close()
    with pool.get():
        pass


def test_a_copy_of_the_process_neither_uses_nor_closes_what_its_parent_has(things):
    pool = ResourcePool(things.open, things.close, max=2)
    with pool.get():
        pass
    with pool.get() as thing:
        pid = os.fork()
        if pid == 0:
            code = 9
            try:
                code = in_the_copy(pool, things, thing)
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    pool.close()
    assert (things.opened, things.closed) == ([0], [0])


def in_the_copy(pool, things, thing: int) -> int:
    with pool.get(timeout=PATIENCE_S) as own, pool.get(timeout=PATIENCE_S) as another:
        is_own = own != thing and another not in (own, thing)
    pool.close(timeout=PATIENCE_S)
    return 0 if is_own and thing not in things.closed and set(things.closed) == {own, another} else 1


def test_it_may_be_what_a_resource_is(things):
    pools = App()

    @pools.resource
    def database():
        return ResourcePool(things.open, things.close, max=2)

    @pools.resource(scope="attempt")
    def connection(*, database=pools.use(database)):
        return database.get()

    uses = pools.task(name="uses")(use_of(connection, pools))
    assert uses() == 0
    assert things.closed == [0]
    assert [uses.enqueue().result(PATIENCE_S) for _ in range(2)] == [1, 1]


def use_of(connection, pools):
    def uses(*, thing=pools.use(connection)) -> int:
        return thing

    uses.__qualname__ = "uses"
    return uses


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max": 0}, "`max`: 0"),
        ({"max": True}, "`max`: True"),
        ({"idle": "soon"}, "`idle`"),
        ({"healthy": 3}, "`healthy`: 3"),
        ({"broken": "OSError"}, "`broken`"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        ResourcePool(object, **options)


def test_a_block_is_not_entered_within_itself(things):
    pool = ResourcePool(things.open, max=2)
    loan = pool.get()
    with loan, pytest.raises(WrongState, match="call get\\(\\) for each block"), loan:
        pass
    with loan as thing:
        assert thing == 0


# ---- Faults.


def body(pool, things) -> int:
    with pool.get() as thing:
        things.asked.append(thing)
        return thing


def check_whole(pool, things, run) -> None:
    """Nothing is lent, nobody waits, what is open rests in the pool, and closes."""
    info = pool.info()
    assert (info.lent, info.waiting) == (0, 0), run
    with pool.get(timeout=PATIENCE_S) as one, pool.get(timeout=PATIENCE_S) as two:
        assert {one, two} <= things.left(), run
    pool.close(timeout=PATIENCE_S)
    assert things.left() == set(), run
    assert things.most <= 2, run


def fresh(is_used: bool = False, is_sick: bool = False):
    """A pool and its things, made before anything is raised."""
    things = Things()
    pool = ResourcePool(things.open, things.close, max=2, healthy=things.is_healthy, broken=LookupError)
    if is_used:
        with pool.get() as thing:
            if is_sick:
                things.sick.add(thing)
    return pool, things


def breaks(pool, things) -> int:
    with pool.get() as thing:
        pool.discard(thing)
        return thing


def raises(pool, things) -> None:
    with pool.get():
        raise LookupError("of the body")


FAULTS = [KeyboardInterrupt, Cancelled, OSError]


@pytest.mark.parametrize("error", FAULTS)
@pytest.mark.parametrize("is_used", [(), (True,), (True, True)])
@pytest.mark.parametrize("run", [body, breaks, raises])
def test_an_exception_at_any_line_of_a_loan_loses_nothing_and_arrives(run, is_used, error, caplog):
    caplog.set_level(logging.CRITICAL)
    own = LookupError if run is raises else type(None)
    for done in at_each_line(run, OURS, run, error=error, prepare=lambda: fresh(*is_used)):
        # An error of the user's own functions is said, and goes no further.
        is_said = error is OSError and done.where.endswith(("_is_good", "_end", "note_closed")) if done.where else True
        assert isinstance(done.error, (error, own) if done.where and is_said else error if done.where else own), done
        check_whole(*done.prepared, done)
    assert done.number > 50


def waits(pool, things) -> int:
    holds, goes_on = threading.Event(), threading.Event()

    def hold() -> None:
        with pool.get(), pool.get():
            holds.set()
            until(lambda: pool.info().waiting or goes_on.is_set(), "somebody waits")

    thread = in_thread(hold)
    holds.wait(PATIENCE_S)
    try:
        return body(pool, things)
    finally:
        goes_on.set()
        thread.join(PATIENCE_S)


@pytest.mark.parametrize("error", FAULTS)
def test_an_exception_at_any_line_of_a_wait_loses_no_place(error):
    """The one who waits is struck: at some lines before the place was given, at others after."""
    for done in at_each_line(waits, OURS, body, error=error, prepare=fresh):
        check_whole(*done.prepared, done)
    assert done.number > 40


def gives_back(pool, things, threads, served) -> None:
    def wait() -> None:
        with pool.get(timeout=PATIENCE_S):
            served.append(True)

    with pool.get(), pool.get():
        threads.append(in_thread(wait))
        until(lambda: pool.info().waiting, "it waits")


@pytest.mark.parametrize("error", FAULTS)
def test_an_exception_at_any_line_of_giving_back_leaves_nobody_waiting(error):
    """The one who gives back is struck while another one waits, and that one is served all the same."""
    for done in at_each_line(gives_back, OURS, error=error, prepare=lambda: (*fresh(), [], [])):
        pool, things, threads, served = done.prepared
        for thread in threads:
            thread.join(PATIENCE_S)
        assert len(served) == len(threads), done
        check_whole(pool, things, done)
    assert done.number > 80


def closes(pool, things) -> None:
    with pool.get(), pool.get():
        pass
    pool.close()


@pytest.mark.parametrize("error", FAULTS)
def test_a_close_that_was_struck_may_be_called_again(error, caplog):
    caplog.set_level(logging.CRITICAL)
    for done in at_each_line(closes, OURS, error=error, prepare=fresh):
        pool, things = done.prepared
        pool.close(timeout=PATIENCE_S)
        assert things.left() == set(), done
    assert done.number > 100


def test_both_are_public():
    assert lineshaft.ResourcePool is ResourcePool
    assert lineshaft.ResourcePoolInfo.__doc__
