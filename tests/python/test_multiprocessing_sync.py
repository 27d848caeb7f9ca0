"""Locks and their like of `lineshaft.multiprocessing`, also when who has them is killed."""

from __future__ import annotations

import multiprocessing as standard
import os
import pickle
import threading
from threading import BrokenBarrierError

import pytest

from lineshaft import multiprocessing
from lineshaft.multiprocessing import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore
from support.processes import until
from sync_works import add, die_holding, hold, meet, meet_often, release, set_after, use_all, wait_for_ever, wait_on

LONG_S = 60.0


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def context(request):
    return multiprocessing.get_context(request.param)


def started(*processes):
    for process in processes:
        process.start()
    return processes


def ended(*processes):
    for process in processes:
        process.join(LONG_S)
        assert process.exitcode is not None, f"{process} hangs"
    return [process.exitcode for process in processes]


def killed(process):
    process.kill()
    process.join(LONG_S)


def test_a_lock_is_had_by_one_at_a_time():
    lock = Lock()
    assert repr(lock) == "<Lock(owner=None)>"
    assert lock.acquire()
    assert (repr(lock), lock.locked()) == ("<Lock(owner=MainProcess)>", True)
    assert not lock.acquire(False)
    assert not lock.acquire(timeout=0.01)
    assert not lock.acquire(True, -1)
    lock.release()
    with pytest.raises(ValueError, match="released too many times"):
        lock.release()
    with lock:
        assert not lock.acquire(block=False)
    assert not lock.locked()


def test_a_recursive_lock_is_its_threads_alone():
    lock, others = RLock(), []
    assert lock.acquire()
    assert lock.acquire(False)
    assert repr(lock) == "<RLock(MainProcess, 2)>"

    def try_it():
        others.append(lock.acquire(False))
        try:
            lock.release()
        except AssertionError as error:
            others.append(str(error))
        others.append(repr(lock))

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join(LONG_S)
    said = "attempt to release recursive lock not owned by thread"
    assert others == [False, said, "<RLock(SomeOtherThread, nonzero)>"]
    lock.release()
    lock.release()
    with pytest.raises(AssertionError, match="not owned by thread"):
        lock.release()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_nothing_is_lost_of_what_it_protects(context, kind):
    lock, total = getattr(context, kind)(), context.Value("i", 0, lock=False)
    adders = started(*(context.Process(target=add, args=(lock, total, 2_000)) for _ in range(3)))
    add(lock, total, 2_000)
    assert ended(*adders) == [0, 0, 0]
    assert total.value == 8_000


def test_another_process_may_release_a_lock(context):
    lock = context.Lock()
    lock.acquire()
    assert ended(*started(context.Process(target=release, args=(lock,)))) == [0]
    assert lock.acquire(False)


@pytest.mark.parametrize("kind", [Lock, RLock])
def test_a_lock_does_not_stay_with_the_dead(context, kind):
    lock = kind()
    assert ended(*started(context.Process(target=die_holding, args=(lock,)))) == [-9]
    assert repr(lock).startswith(f"<{kind.__name__}(")
    assert "SomeOtherProcess" in repr(lock)
    assert lock.acquire(timeout=LONG_S)
    assert lock.abandoned
    lock.release()
    assert lock.acquire(False)
    assert not lock.abandoned


def test_who_waits_gets_it_when_the_one_who_has_it_is_killed():
    lock, said = Lock(), multiprocessing.Queue()
    (holder,) = started(multiprocessing.Process(target=hold, args=(lock, said)))
    said.get(timeout=LONG_S)
    got = []
    waiting = threading.Thread(target=lambda: got.append(lock.acquire(timeout=LONG_S)))
    waiting.start()
    killed(holder)
    waiting.join(LONG_S)
    assert got == [True]


def test_a_forked_child_does_not_have_its_parents_locks():
    lock = RLock()
    with lock:
        pid = os.fork()
        if pid == 0:
            os._exit(int(lock.acquire(False)))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert lock.acquire(False)


def test_semaphores_count():
    semaphore, bounded = Semaphore(2), BoundedSemaphore(1)
    assert (semaphore.get_value(), repr(semaphore)) == (2, "<Semaphore(value=2)>")
    assert [semaphore.acquire(), semaphore.acquire(False), semaphore.acquire(False)] == [True, True, False]
    assert not semaphore.acquire(timeout=0.01)
    semaphore.release()
    semaphore.release()
    semaphore.release()
    assert semaphore.get_value() == 3
    assert repr(bounded) == "<BoundedSemaphore(value=1, maxvalue=1)>"
    with pytest.raises(ValueError, match="released too many times"):
        bounded.release()
    with pytest.raises(ValueError, match="cannot be -1"):
        Semaphore(-1)


def test_a_condition_notifies_as_many_as_it_says(context):
    condition, said = context.Condition(), context.Queue()
    processes = started(*(context.Process(target=wait_on, args=(condition, said)) for _ in range(3)))
    assert [said.get(timeout=LONG_S) for _ in range(3)] == ["waits"] * 3
    with condition:
        condition.notify()
    assert said.get(timeout=LONG_S) is True
    assert said.empty()
    with condition:
        condition.notify_all()
    assert [said.get(timeout=LONG_S) for _ in range(2)] == [True, True]
    assert ended(*processes) == [0, 0, 0]


def test_a_condition_is_waited_for_with_its_lock_and_in_time():
    condition = Condition()
    for call in (condition.wait, condition.notify):
        with pytest.raises(AssertionError):
            call()
    with condition, condition:
        assert condition.wait(0.01) is False
        assert condition.wait_for(lambda: 7) == 7
        assert condition.wait_for(list, 0.01) == []
        assert "MainProcess, 2" in repr(condition)
    with pytest.raises(AssertionError):
        condition.release()


def test_no_notification_goes_to_the_dead(context):
    condition, said = context.Condition(context.Lock()), context.Queue()
    (dead,) = started(context.Process(target=wait_for_ever, args=(condition, said)))
    assert said.get(timeout=LONG_S) == "waits"
    with condition:
        pass  # it has given the lock back, so it waits
    (other,) = started(context.Process(target=wait_on, args=(condition, said)))
    assert said.get(timeout=LONG_S) == "waits"
    killed(dead)
    with condition:
        condition.notify()
    assert said.get(timeout=LONG_S) is True
    assert ended(other) == [0]


def test_an_event_ends_the_waits_of_all(context):
    first, second = context.Event(), context.Event()
    processes = started(*(context.Process(target=set_after, args=(first, second)) for _ in range(2)))
    assert not second.wait(0.01)
    first.set()
    assert second.wait(LONG_S)
    assert (second.is_set(), " set>" in repr(second)) == (True, True)
    second.clear()
    assert " unset>" in repr(second)
    assert ended(*processes) == [0, 0]


def test_parties_of_a_barrier_wait_for_each_other(context):
    barrier, said = context.Barrier(3), context.Queue()
    processes = started(*(context.Process(target=meet_often, args=(barrier, said, 20)) for _ in range(2)))
    own = [barrier.wait(LONG_S) for _ in range(20)]
    rounds = zip(own, *(said.get(timeout=LONG_S) for _ in range(2)), strict=True)
    assert all(sorted(numbers) == [0, 1, 2] for numbers in rounds)
    assert ended(*processes) == [0, 0]
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (3, 0, False)


def test_a_barrier_breaks_when_a_party_is_killed_that_waits(context):
    barrier, said = context.Barrier(3), context.Queue()
    one, other = started(*(context.Process(target=meet, args=(barrier, said)) for _ in range(2)))
    until(lambda: barrier.n_waiting == 2, "both wait")
    killed(one)
    assert said.get(timeout=LONG_S) == "broken"
    assert ended(other) == [0]
    with pytest.raises(BrokenBarrierError):
        barrier.wait(LONG_S)
    barrier.reset()
    processes = started(*(context.Process(target=meet, args=(barrier, said)) for _ in range(2)))
    numbers = {barrier.wait(LONG_S), said.get(timeout=LONG_S), said.get(timeout=LONG_S)}
    assert numbers == {0, 1, 2}
    assert ended(*processes) == [0, 0]


def test_a_barrier_breaks_in_time_by_its_action_or_by_word():
    barrier = Barrier(2, timeout=0.01)
    with pytest.raises(BrokenBarrierError):
        barrier.wait()
    assert barrier.broken
    assert ": broken>" in repr(barrier)
    barrier.reset()
    assert "waiters=0/2" in repr(barrier)
    barrier.abort()
    with pytest.raises(BrokenBarrierError):
        barrier.wait()
    called = []
    alone = Barrier(1, called.append)
    with pytest.raises(TypeError):
        alone.wait()
    assert alone.broken
    alone = Barrier(1, lambda: called.append(1))
    assert (alone.wait(), alone.wait(), called) == (0, 0, [1, 1])
    with pytest.raises(ValueError, match="parties"):
        Barrier(0)


def test_who_waits_at_a_barrier_that_is_reset_learns_of_it():
    barrier, ends = Barrier(2), []

    def wait():
        try:
            barrier.wait()
        except BrokenBarrierError as error:
            ends.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: barrier.n_waiting == 1, "it waits")
    barrier.reset()
    thread.join(LONG_S)
    assert len(ends) == 1
    assert not barrier.broken


@pytest.mark.parametrize("library", [multiprocessing, standard])
def test_all_pass_to_processes_of_both_libraries(context, library):
    others = library.get_context(context.get_start_method())
    event, barrier, value = Event(), Barrier(2), context.Value("i", 0)
    things = (Lock(), RLock(), Semaphore(), BoundedSemaphore(), Condition(), event, barrier, value)
    (process,) = started(others.Process(target=use_all, args=things))
    assert event.wait(LONG_S)
    assert barrier.wait(LONG_S) in (0, 1)
    assert ended(process) == [0]
    assert value.value == 1


@pytest.mark.parametrize("kind", [Lock, RLock, Semaphore, BoundedSemaphore, Condition, Event, lambda: Barrier(2)])
def test_only_children_inherit_them(kind):
    with pytest.raises(RuntimeError, match="inheritance"):
        pickle.dumps(kind())


def test_many_take_few_descriptors():
    before = len(os.listdir("/proc/self/fd"))
    locks = [Lock() for _ in range(5_000)]
    assert all(lock.acquire(False) for lock in locks)
    assert len(os.listdir("/proc/self/fd")) - before <= 3
