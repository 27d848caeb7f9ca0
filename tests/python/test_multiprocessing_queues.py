"""Queues of `lineshaft.multiprocessing`: what `multiprocessing.Queue` does, and what ours does beyond."""

from __future__ import annotations

import multiprocessing as standard
import pickle
import queue as queues
import signal
import threading
import time

import pytest

from lineshaft import _native, multiprocessing
from lineshaft.multiprocessing import JoinableQueue, Queue, ShutDown, SimpleQueue
from queue_works import (
    Colour,
    Order,
    Unreadable,
    Unsayable,
    echo,
    get_for_ever,
    put_arrays,
    put_many_numbers,
    put_numbers,
)
from support.processes import until

LONG_S = 60.0
"""Nothing takes so long unless it hangs."""

THINGS = [
    None,
    True,
    0,
    -(2**63),
    2**100,
    1.5,
    "text",
    "",
    "half \ud800",
    b"",
    b"bytes" * 1_000,
    b"large" * 100_000,
    "grün" * 100_000,
    bytearray(b"bytes"),
    (1, "two"),
    [1, [2, [3]]],
    {"key": {1, 2}, 2: frozenset("ab")},
    list(range(50_000)),
    Order(7, Colour.RED),
    [Order(number, Colour.RED) for number in range(10_000)],
    Colour.RED,
    len,
    range(3),
    1j,
]


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def context(request):
    return multiprocessing.get_context(request.param)


def ended(*processes):
    """Their exit codes."""
    for process in processes:
        process.join(LONG_S)
        assert process.exitcode is not None, f"{process} hangs"
    return [process.exitcode for process in processes]


def started(*processes):
    for process in processes:
        process.start()
    return processes


@pytest.mark.parametrize("kind", [Queue, JoinableQueue, SimpleQueue])
def test_objects_come_out_as_they_went_in_and_in_order(kind):
    queue = kind()
    assert queue.empty()
    for thing in THINGS:
        queue.put(thing)
    assert not queue.empty()
    for thing in THINGS:
        got = queue.get()
        assert (got, type(got)) == (thing, type(thing))
    assert queue.empty()


def test_what_is_put_is_a_copy_of_then():
    queue, thing = Queue(), [1]
    queue.put(thing)
    thing.append(2)
    assert queue.get() == [1]


def test_an_object_in_two_places_is_one_again():
    queue, shared = Queue(), [1]
    queue.put([shared, shared])
    one, other = queue.get()
    assert one is other


def test_a_full_queue_and_an_empty_one_say_so():
    queue = Queue(maxsize=2)
    queue.put(1)
    queue.put(2, timeout=LONG_S)
    assert (queue.qsize(), queue.full(), queue.empty()) == (2, True, False)
    for put in (queue.put_nowait, lambda thing: queue.put(thing, False), lambda thing: queue.put(thing, True, 0.01)):
        with pytest.raises(queues.Full):
            put(3)
    assert [queue.get(), queue.get(False)] == [1, 2]
    assert (queue.qsize(), queue.full(), queue.empty()) == (0, False, True)
    for get in (queue.get_nowait, lambda: queue.get(False), lambda: queue.get(True, 0.01), lambda: queue.get(True, -1)):
        with pytest.raises(queues.Empty):
            get()


def test_a_wait_takes_its_time_and_no_longer():
    queue = Queue()
    began = time.monotonic()
    with pytest.raises(queues.Empty):
        queue.get(timeout=0.3)
    assert 0.3 <= time.monotonic() - began < LONG_S


def test_without_maxsize_there_is_room_for_32_mib():
    queue, text = Queue(), b"x" * (60 << 10)
    put = queue.put_many([text] * 1_000, block=False)
    assert 500 <= put <= 546
    with pytest.raises(queues.Full):
        queue.put_nowait(text)
    assert all(queue.get() == text for _ in range(put))


def test_there_may_be_more_room_or_less():
    text = b"x" * (60 << 10)
    assert 1_000 <= Queue(room="64MiB").put_many([text] * 2_000, block=False) <= 1_092
    assert Queue(room=1).put_many([text] * 9, block=False) == 2
    for wrong in (0, -1, 1 << 35, "many"):
        with pytest.raises(ValueError, match="room"):
            Queue(room=wrong)


def test_a_put_that_waits_where_nobody_said_it_may_says_so(monkeypatch):
    monkeypatch.setattr("lineshaft.multiprocessing._queues._SILENT_S", 0.01)
    queue = Queue(room=1)
    queue.put_many([b"x" * (60 << 10)] * 2)
    got = []
    getter = threading.Timer(0.3, lambda: got.append(queue.get()))
    getter.start()
    with pytest.warns(RuntimeWarning, match="put waits") as warned:
        queue.put(b"x" * (60 << 10))
    getter.join(LONG_S)
    assert warned[0].filename == __file__
    assert len(got) == 1


@pytest.mark.parametrize("library", [multiprocessing, standard])
def test_processes_of_both_libraries_share_it(context, library):
    others = library.get_context(context.get_start_method())
    questions, answers = Queue(), context.SimpleQueue()
    processes = started(*(others.Process(target=echo, args=(questions, answers)) for _ in range(2)))
    for thing in THINGS:
        questions.put(thing)
    assert questions.join(LONG_S)
    questions.shutdown()
    assert ended(*processes) == [0, 0]
    got = [answers.get() for _ in THINGS]
    assert answers.empty()
    assert all(thing in got for thing in THINGS)


def test_each_number_is_got_once_whoever_puts_and_gets(context):
    queue, numbers = context.Queue(maxsize=50), context.Queue()
    putters = started(
        *(context.Process(target=put_numbers, args=(queue, first, 500)) for first in (0, 500)),
        *(context.Process(target=put_many_numbers, args=(queue, first, 500)) for first in (1_000, 1_500)),
    )
    own = [queue.get(timeout=LONG_S) for _ in range(100)]  # now, for two getters may be quick and leave nothing
    queue.task_done(100)
    getters = started(*(context.Process(target=echo, args=(queue, numbers)) for _ in range(2)))
    assert ended(*putters) == [0] * 4
    assert queue.join(LONG_S)
    queue.shutdown()
    assert ended(*getters) == [0, 0]
    while not numbers.empty():
        own += numbers.get_many()
    assert sorted(own) == list(range(2_000))


def test_a_consumer_that_loops_for_ever_ends_with_the_queue(context):
    queue, others = context.JoinableQueue(), context.Queue()
    consumers = started(*(context.Process(target=get_for_ever, args=(queue, others)) for _ in range(2)))
    queue.put_many(range(10))
    assert queue.join(LONG_S)
    queue.shutdown()
    assert ended(*consumers) == [0, 0]
    assert sorted(number for _, number in others.get_many(100)) == list(range(10))


def test_shutdown_lets_out_what_is_in_and_nothing_in():
    queue = Queue()
    queue.put_many([1, 2])
    assert not queue.is_shutdown
    queue.shutdown()
    assert queue.is_shutdown
    for put in (queue.put, queue.put_nowait, lambda thing: queue.put_many([thing])):
        with pytest.raises(ShutDown):
            put(3)
    assert list(queue) == [1, 2]
    for get in (queue.get, queue.get_nowait, queue.get_many):
        with pytest.raises(ShutDown):
            get()
    assert not queue.join(0.01)
    queue.task_done(2)
    assert queue.join(LONG_S)


def test_an_immediate_shutdown_drops_what_is_in_and_ends_every_wait():
    queue, errors = Queue(maxsize=3), []

    def wait(call):
        try:
            call()
        except ShutDown as error:
            errors.append(error)

    queue.put_many([1, 2, b"large" * 100_000])
    waiting = [threading.Thread(target=wait, args=(lambda: queue.put(4),)), threading.Thread(target=queue.join)]
    for thread in waiting:
        thread.start()
    queue.shutdown(immediate=True)
    for thread in waiting:
        thread.join(LONG_S)
        assert not thread.is_alive()
    assert len(errors) == 1
    assert queue.empty()
    with pytest.raises(ShutDown):
        queue.get_nowait()


def test_shut_down_is_a_clean_exit_and_the_error_of_queue_where_that_has_one():
    assert issubclass(ShutDown, getattr(queues, "ShutDown", Exception))
    assert issubclass(ShutDown, SystemExit)
    assert ShutDown("said").code is None


def test_task_done_counts_what_was_put():
    queue = JoinableQueue()
    assert queue.join(LONG_S)
    queue.put(1)
    assert not queue.join(0.01)
    queue.get()
    queue.task_done()
    assert queue.join(LONG_S)
    with pytest.raises(ValueError, match="task_done\\(\\) called too many times"):
        queue.task_done()
    with pytest.raises(ValueError, match="count is -1, and what is done stays done"):
        queue.task_done(-1)


def test_many_at_once_are_those_that_are_there():
    queue = Queue(maxsize=5)
    assert queue.put_many([]) == 0
    assert queue.put_many(range(9), block=False) == 5
    assert queue.put_many(range(9), timeout=0.01) == 0
    assert queue.get_many(3) == [0, 1, 2]
    assert queue.get_many() == [3, 4]
    with pytest.raises(queues.Empty):
        queue.get_many(block=False)
    with pytest.raises(ValueError, match="count is 0"):
        queue.get_many(0)
    mixed = [1, b"large" * 100_000, 2, b"large" * 200_000]
    assert queue.put_many(mixed) == 4
    assert queue.get_many() == mixed


def test_an_error_amid_many_says_how_many_were_put():
    queue, errors = Queue(maxsize=3), []

    def put():
        try:
            queue.put_many(range(5))
        except ShutDown as error:
            errors.append(error)

    putter = threading.Thread(target=put)
    putter.start()
    until(queue.full, "three are put")
    queue.shutdown()
    putter.join(LONG_S)
    assert [error.put for error in errors] == [3]


def test_one_that_cannot_be_sent_is_found_before_any_is_put():
    queue = Queue()
    with pytest.raises(TypeError, match="pickle"):
        queue.put_many([1, threading.Lock()])
    assert queue.empty()


def test_what_cannot_be_pickled_raises_where_it_is_put_and_says_where_it_is():
    queue = Queue()
    with pytest.raises(TypeError, match="pickle") as caught:
        queue.put({"a": [threading.Lock()]})
    assert "value['a'][0]: lock is not a value" in str(caught.value.__cause__)
    with pytest.raises(RuntimeError, match="not this one"):
        queue.put(Unsayable())
    with pytest.raises((AttributeError, pickle.PicklingError)):
        queue.put(lambda: 1)
    assert queue.empty()


def test_what_cannot_be_unpickled_raises_where_it_is_got_and_the_next_is_there():
    queue = Queue()
    queue.put_many([Unreadable(1, 2), 3, Unreadable(4, 5), 6])
    with pytest.raises(TypeError, match="two"):
        queue.get()
    assert queue.get() == 3
    with pytest.raises(TypeError, match="two") as caught:
        queue.get_many()
    assert caught.value.others == [6]


def test_a_closed_queue_says_so_in_this_process_alone():
    for queue in (Queue(), JoinableQueue()):
        queue.put(1)
        queue.close()
        for call in (lambda: queue.put(2), queue.get, queue.get_many, lambda: queue.put_many([2])):  # noqa: B023
            with pytest.raises(ValueError, match="is closed"):
                call()
        queue.join_thread()
        queue.cancel_join_thread()
        assert queue.qsize() == 1
        with pytest.raises(OSError, match="is closed"):
            queue.empty()
    unused: Queue[int] = Queue()
    unused.close()
    assert unused.empty()  # as in the standard library, where nothing is there yet to be closed
    simple = SimpleQueue()
    simple.close()
    simple.close()
    for call in (lambda: simple.put(1), simple.get, simple.empty):
        with pytest.raises(OSError, match="is closed"):
            call()


def test_only_children_inherit_it():
    with pytest.raises(RuntimeError, match="inheritance"):
        pickle.dumps(Queue())


def test_large_arrays_are_read_where_they_lie_and_make_room_when_they_are_gone(context):
    numpy = pytest.importorskip("numpy")
    queue = context.Queue(maxsize=4)
    (putter,) = started(context.Process(target=put_arrays, args=(queue, 50)))
    views = []
    for number in range(50):
        got = queue.get(timeout=LONG_S)
        array = got["array"]
        assert (got["number"], array.shape, array.dtype) == (number, (40_000,), numpy.full(1, number).dtype)
        assert not array.flags.writeable
        assert (array == number).all()
        views.append(array[::2])
    assert ended(putter) == [0]
    assert all((view == number).all() for number, view in enumerate(views))


def test_more_goes_through_than_there_is_room_for():
    numpy = pytest.importorskip("numpy")
    queue, array = Queue(), numpy.ones(32 << 20, numpy.uint8)
    for _ in range(40):
        queue.put(array, timeout=LONG_S)
        assert queue.get()[-1] == 1


def test_large_ones_wait_for_room_of_their_own():
    numpy = pytest.importorskip("numpy")
    channel, array = _native.Channel(0, 1 << 20, 1 << 20), numpy.ones(300 << 10, numpy.uint8)
    kept = []
    for _ in range(3):
        channel.put(array, 0.0)
        kept.append(channel.get(0.0))
    with pytest.raises(queues.Full):
        channel.put(array, 0.01)
    putter = threading.Thread(target=channel.put, args=(array, LONG_S))
    putter.start()
    del kept
    putter.join(LONG_S)
    assert channel.get(LONG_S).sum() == 300 << 10


def test_small_arrays_can_be_written_to():
    numpy = pytest.importorskip("numpy")
    queue = Queue()
    queue.put([numpy.arange(3), numpy.arange(6.0).reshape(2, 3).T])
    one, other = queue.get()
    one += 1
    assert one.tolist() == [1, 2, 3]
    assert other.tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("size", [0, 5, 70_000])
def test_a_memoryview_comes_out_as_one(size):
    queue, data = Queue(), bytes(range(256)) * (size // 256 + 1)
    queue.put(memoryview(data)[:size])
    view = queue.get()
    assert isinstance(view, memoryview)
    assert (view.readonly, bytes(view)) == (True, data[:size])
    queue.put(memoryview(data)[: 2 * size : 2])
    assert bytes(queue.get()) == data[: 2 * size : 2]


def test_what_is_larger_than_its_room_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        Queue().put(bytes((1 << 30) + 1))


def test_a_signal_is_heard_while_it_waits(monkeypatch):
    class Heard(Exception):
        pass

    def hear(*_):
        raise Heard

    before = signal.signal(signal.SIGALRM, hear)
    queue = Queue(maxsize=1)
    queue.put(0)
    try:
        for wait in (lambda: queue.put(1), queue.join, Queue().get, Queue().get_many):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Heard):
                wait()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert queue.get() == 0


def test_threads_of_a_process_share_it():
    queue, got = Queue(maxsize=3), Queue()
    putters = [threading.Thread(target=put_numbers, args=(queue, 100 * n, 100)) for n in range(3)]
    getters = [threading.Thread(target=echo, args=(queue, got)) for _ in range(3)]
    for thread in putters + getters:
        thread.start()
    for thread in putters:
        thread.join(LONG_S)
    assert queue.join(LONG_S)
    queue.shutdown()
    for thread in getters:
        thread.join(LONG_S)
        assert not thread.is_alive()
    assert sorted(got.get_many(256) + got.get_many(256)) == list(range(300))


def test_it_has_the_names_of_multiprocessing():
    assert set(standard.__all__) - set(multiprocessing.__all__) == set()
    assert multiprocessing.__all__ == sorted(multiprocessing.__all__)
    for name in multiprocessing.__all__:
        assert getattr(multiprocessing, name) is not None


def test_both_agree_on_the_start_method(programs):
    programs.write(
        "agree.py",
        """
        import multiprocessing as standard
        from lineshaft import multiprocessing

        if __name__ == "__main__":
            assert multiprocessing.get_start_method() == standard.get_start_method()
            multiprocessing.set_start_method("spawn", force=True)
            assert standard.get_start_method() == "spawn"
            assert multiprocessing.get_context().get_start_method() == "spawn"
            with multiprocessing.Pool(1) as pool:
                print(pool.apply(len, ("abc",)))
            try:
                multiprocessing.get_context("none")
            except ValueError as error:
                print(error)
        """,
    )
    ended = programs.run("agree.py")
    assert (ended.returncode, ended.stdout) == (0, "3\ncannot find context for 'none'\n"), ended.stderr
