"""Profiles: what is found, and what it is worth."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import inspect
import json
import pickle
import threading
import time
import tracemalloc

import pytest

import lineshaft
from lineshaft import DeclarationError, OptionError, Profile, profile
from support.profiles import burn, cool, hot, of, parsed, profiled, samples_of, spin, stacks_cpu, threads_now


@pytest.fixture(scope="module")
def found() -> Profile:
    """70 % in one function, 30 % in another one."""

    def work() -> None:
        for _ in range(10):
            hot(0.14)
            cool(0.06)

    return profiled(work)


def test_a_function_with_seven_tenths_of_the_processor_is_found(found):
    whole = found.cpu
    assert found.samples > 60
    assert 1.2 < whole < 2.5
    cpu = {name: [one for one in stacks_cpu(found) if name in one[0]] for name in ("hot", "cool")}
    share = sum(ns for _, ns in cpu["hot"]) / sum(ns for _, ns in stacks_cpu(found))
    assert 0.6 < share < 0.8
    assert of(found, "hot").total_share > of(found, "cool").total_share


def test_the_time_of_samples_is_the_time_that_passed(found):
    assert 0.7 * found.duration < found.wall <= 1.01 * found.duration
    assert found.cpu <= 1.05 * found.wall
    assert sum(one.share for one in found.hot_functions(1_000)) == pytest.approx(1)


def test_a_stack_begins_with_the_function_that_asks_for_it(found):
    outermost = {names[-1].split(".")[-1] for names, _ in stacks_cpu(found)}
    assert outermost == {"profiled"}
    (track,) = found.tracks()
    assert (track.name, track.awaiting) == ("MainThread", False)
    shown = {one.file for one in found.hot_functions(1_000)}
    assert not any("lineshaft/_profile" in file for file in shown)


def test_lines_are_those_of_the_source(found):
    lines, start = inspect.getsourcelines(burn)
    line = found.hot_lines(1)[0]
    assert line.file == inspect.getsourcefile(burn)
    assert start <= line.line < start + len(lines)
    assert line.source in [text.strip() for text in lines]
    assert found.hot_lines(0) == []


def test_a_table_names_lines_with_their_share_and_source(found):
    text = str(found)
    line = found.hot_lines(1)[0]
    assert f"profiles.py:{line.line}" in text
    assert line.source in text
    assert f"{100 * line.share:.1f} %" in text
    assert f"{found.samples} samples" in text


# ---- Values.


def test_profiles_are_merged_compared_and_kept_as_bytes(found):
    both = Profile.from_bytes(found.to_bytes())
    both.merge(profiled(lambda: cool(0.3)))
    assert both.samples > found.samples
    assert both.duration > found.duration + 0.2
    changes = {change.function.split(".")[-1]: change for change in found.diff(both)}
    assert abs(changes["burn"].after - changes["burn"].before) < 0.3
    nothing = found.diff(Profile.from_bytes(found.to_bytes()))
    assert all(change.before == change.after for change in nothing)
    again = pickle.loads(pickle.dumps(found))
    assert again.hot_lines(100) == found.hot_lines(100)
    assert copy.deepcopy(found).tracks() == found.tracks()
    assert len(found.to_bytes()) < 4_096


def test_a_difference_shows_what_has_become_slower():
    before, after = profiled(lambda: (hot(0.3), spin(0.3))), profiled(lambda: (hot(0.3), spin(1.2)))
    change = next(one for one in before.diff(after) if one.function == "spin")
    assert change.after > change.before + 0.1


def test_a_profile_that_merges_itself_counts_twice():
    found = profiled(lambda: burn(0.1))
    samples = found.samples
    found.merge(found)
    assert found.samples == 2 * samples


@pytest.mark.parametrize("data", [b"", b"LSPR", b"LSPR\x01", b"LSPR\x07abc", b"PK\x03\x04", bytes(range(100))])
def test_bytes_that_are_no_profile_are_refused(data):
    with pytest.raises(ValueError, match="profile"):
        Profile.from_bytes(data)


# ---- Functions.


def test_calls_of_a_function_add_up():
    @profile
    def work(cpu_s: float) -> str:
        hot(cpu_s)
        return "done"

    assert work(0.2) == "done"
    first = work.profile.samples
    assert first > 0
    assert work(cpu_s=0.2) == "done"
    assert work.profile.samples > first
    assert of(work.profile, "hot").total_share > 0.8
    assert work.__name__ == "work"


def test_methods_are_profiled_with_what_they_belong_to():
    class Shop:
        @profile(hz=200)
        def work(self, cpu_s: float) -> Shop:
            burn(cpu_s)
            return self

        @classmethod
        @profile()
        def make(cls) -> Shop:
            burn(0.1)
            return cls()

    shop = Shop.make()
    assert shop.work(0.1) is shop
    assert Shop.work.profile.samples > 0
    assert of(Shop.work.profile, "burn").total_share > 0.8


def test_a_coroutine_function_is_profiled_with_what_it_awaits():
    @profile(hz=200)
    async def work() -> int:
        burn(0.2)
        await asyncio.sleep(0.3)
        return 5

    assert asyncio.run(work()) == 5
    found = work.profile
    assert of(found, "burn").cpu > 0.1
    assert of(found, "sleep").awaited > 0.2
    assert of(found, "work").awaited > 0.2


def test_a_function_that_calls_itself_is_measured_once():
    before, most = threads_now(), 0

    @profile
    def deep(left: int) -> None:
        nonlocal most
        if left:
            deep(left - 1)
        else:
            most = threads_now()
            burn(0.3)

    deep(50)
    assert most <= before + 1
    found = deep.profile
    assert found.wall <= 1.01 * found.duration
    assert found.samples <= 200 * found.duration + 10


def test_coroutines_at_the_same_time_are_measured_once_until_the_last_ends():
    before, most = threads_now(), 0

    @profile
    async def fetch(seconds: float) -> None:
        nonlocal most
        most = max(most, threads_now())
        await asyncio.sleep(seconds)

    async def main() -> None:
        await asyncio.gather(*(fetch(0.1) for _ in range(200)), fetch(0.5))

    asyncio.run(main())
    assert most <= before + 1
    assert fetch.profile.duration >= 0.5
    assert fetch.profile.wall < 2 * fetch.profile.duration, "not each call by itself"


def test_calls_in_many_threads_add_up():
    @profile(threads="all")
    def everywhere() -> None:
        burn(0.1)

    @profile
    def here() -> None:
        burn(0.1)

    for work in (everywhere, here):
        threads = [threading.Thread(target=work, name=f"thread {number}") for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        names = {track.name for track in work.profile.tracks()}
        assert {thread.name for thread in threads} <= names
    assert everywhere.profile.duration < here.profile.duration


def test_an_exception_comes_through_and_what_was_seen_stays():
    @profile
    def fails() -> None:
        burn(0.1)
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        fails()
    assert fails.profile.samples > 0
    with contextlib.suppress(KeyError), profile() as found:
        burn(0.1)
        raise KeyError("y")
    assert found.samples > 0


def test_generators_are_refused():
    with pytest.raises(DeclarationError, match="generators"):

        @profile
        def items():
            yield 1

    with pytest.raises(DeclarationError, match="generators"):

        @profile()
        async def more_items():
            yield 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"hz": 0}, "hz"),
        ({"hz": 1_001}, "hz"),
        ({"hz": "fast"}, "hz"),
        ({"hz": True}, "hz"),
        ({"hz": float("nan")}, "hz"),
        ({"threads": "some"}, "threads"),
        ({"memory": 1}, "memory"),
        ({"native": "yes"}, "native"),
    ],
)
def test_a_wrong_option_is_named(options, named):
    with pytest.raises(OptionError, match=f"`{named}`"):
        profile(**options)


# ---- Threads and tasks.


def test_other_threads_are_looked_at_if_asked_for():
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            burn(0.01)

    def meanwhile() -> None:
        thread = threading.Thread(target=work, name="worker of ours")
        thread.start()
        time.sleep(0.5)
        stop.set()
        thread.join()

    everyone = {track.name: track for track in profiled(meanwhile, threads="all").tracks()}
    assert everyone["worker of ours"].cpu > 0.02
    assert everyone["MainThread"].cpu < 0.3 * everyone["MainThread"].wall
    stop.clear()
    assert {track.name for track in profiled(meanwhile).tracks()} == {"MainThread"}


def test_threads_that_come_and_go_do_no_harm():
    def many() -> None:
        for _ in range(100):
            threads = [threading.Thread(target=burn, args=(0.001,)) for _ in range(5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    found = profiled(many, threads="all", hz=1_000)
    assert found.samples > 0
    assert found.cpu <= 1.5 * found.duration


def test_a_thread_that_ends_in_its_block_is_seen_until_then():
    kept = []

    def work() -> None:
        profiler = profile()
        found = profiler.__enter__()
        burn(0.1)
        kept.append((profiler, found))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    time.sleep(0.05)
    ((profiler, found),) = kept
    profiler.__exit__(None, None, None)
    assert found.samples > 0


def test_what_suspended_tasks_await_is_apart_from_what_threads_do():
    async def inner() -> None:
        await asyncio.sleep(0.4)

    async def outer() -> None:
        await inner()

    async def main() -> None:
        tasks = [asyncio.create_task(outer(), name=name) for name in ("mail", "news")]
        tasks += [asyncio.create_task(outer()) for _ in range(20)]
        await asyncio.gather(*tasks)

    found = profiled(lambda: asyncio.run(main()), hz=200)
    tracks = {track.name.split(".")[-1]: track for track in found.tracks() if track.awaiting}
    assert {"mail", "news", "outer"} <= set(tracks)
    assert tracks["mail"].wall > 0.2
    assert tracks["outer"].wall > 10 * tracks["mail"].wall
    assert of(found, "inner").awaited > 20 * 0.2
    assert found.awaited > 8 * found.wall
    (stack,) = {tuple(names) for names, _, labels in samples_of(parsed(found)) if labels.get("task") == "mail"}
    assert [name.split(".")[-1] for name in stack] == ["sleep", "inner", "outer"]


def test_thousands_of_tasks_are_looked_at_less_often():
    async def main() -> None:
        tasks = [asyncio.create_task(asyncio.sleep(0.5)) for _ in range(5_000)]
        await asyncio.gather(*tasks)

    began = time.process_time()
    found = profiled(lambda: asyncio.run(main()), hz=1_000)
    assert found.awaited > 0
    assert time.process_time() - began < 10


# ---- Memory and advice.


def test_lines_that_keep_memory_are_found():

    with profile(memory=True) as found:
        kept = [bytes(1_000) for _ in range(1_000)]
    line = found.allocations(1)[0]
    assert (line.file, line.blocks >= 1_000, line.bytes > 1_000_000) == (__file__, True, True)
    assert line.line == inspect.currentframe().f_lineno - 4 + 1
    assert len(kept) == 1_000
    assert not tracemalloc.is_tracing()
    assert "KiB" in str(Profile.from_bytes(found.to_bytes())) or found.samples == 0


def test_advice_names_serialising_and_waiting_where_they_take_most():
    def serialise() -> None:
        nested = {str(number): [{"a": number}] for number in range(200)}
        end = time.thread_time() + 0.5
        while time.thread_time() < end:
            copy.deepcopy(nested)

    assert any("copy.deepcopy" in sentence for sentence in profiled(serialise).advice())
    waited = profiled(lambda: time.sleep(0.5)).advice()
    assert any("had no processor" in sentence for sentence in waited)
    assert not any("copy.deepcopy" in sentence for sentence in waited)


def test_a_loop_that_waits_for_its_tasks_is_not_told_to_use_threads():
    """It was told to wait in threads or coroutines."""

    async def waits():
        await asyncio.gather(*(asyncio.sleep(0.5) for _ in range(3)))

    assert profiled(lambda: asyncio.run(waits())).advice() == []


def test_advice_names_a_lock_that_is_waited_for_and_no_condition():
    lock, condition = threading.Lock(), threading.Condition()

    def take() -> None:
        with lock:
            pass

    def wait() -> None:
        with condition:
            condition.wait(0.5)

    lock.acquire()
    threading.Timer(0.5, lock.release).start()
    assert any("locks" in sentence for sentence in profiled(take).advice())
    assert not any("locks" in sentence for sentence in profiled(wait).advice())


def test_advice_names_garbage_collection():

    def collect() -> None:
        kept = [[number] for number in range(100_000)]
        for _ in range(80):
            gc.collect()
        assert kept

    found = profiled(collect)
    assert found.garbage > 0
    assert any("garbage collections" in one for one in found.advice())


def test_names_are_public():
    assert lineshaft.profile is profile
    assert repr(profiled(lambda: burn(0.05))).startswith("<Profile: ")


# ---- Waiting for locks.

INTERPRETER = "(waits for the interpreter's lock)"
LOCK = "(waits for a lock)"


def part_of(found: Profile, function: str) -> float:
    """The part of all time that went to a function."""
    return sum(one.share for one in found.hot_functions(1_000) if one.function == function)


BUSY = """
import json
import threading
import time

import lineshaft
from lineshaft import Profile

NAME = "(waits for the interpreter's lock)"


def compute() -> None:
    until = time.monotonic() + 1.0
    total = 0
    while time.monotonic() < until:
        for number in range(2_000):
            total += number * number


def part(found: Profile) -> float:
    return sum(one.share for one in found.hot_functions(1_000) if one.function == NAME)


for count in (1, 4):
    workers = [threading.Thread(target=compute) for _ in range(count)]
    with lineshaft.profile(threads="all") as found:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    said = [one for one in found.advice() if "the interpreter's lock" in one]
    is_line = any(one.function == NAME for one in found.hot_lines(1_000))
    print(json.dumps([part(found), part(Profile.from_bytes(found.to_bytes())), len(said), is_line]))
"""


def test_threads_that_wait_for_the_interpreter_are_told_from_one_that_works(programs):
    """Whoever looks waits as long for the lock in both cases. In a program of its own, where no other threads are."""
    programs.write("busy.py", BUSY)
    ended = programs.run("busy.py")
    assert ended.returncode == 0, ended.stderr
    (alone, _, said_alone, _), (four, kept, said, is_line) = map(json.loads, ended.stdout.splitlines())
    # Nearly nothing, and up to three quarters, where nobody else uses the processors.
    assert alone < 0.1 < four
    assert (said_alone, said) == (0, 1)
    assert kept == four
    assert not is_line, "its lines have that time"


def test_what_sleeps_does_not_wait_for_the_interpreter():
    until = time.monotonic() + 1.0
    with lineshaft.profile() as found:
        while time.monotonic() < until:
            time.sleep(0.02)
            for _ in range(20_000):
                pass
    assert part_of(found, INTERPRETER) < 0.1


@pytest.mark.parametrize("way", ["with", "acquire"])
def test_a_lock_is_waited_for_at_the_line_that_takes_it(way):
    lock = threading.Lock()
    lock.acquire()

    def take() -> None:
        if way == "with":
            with lock:
                pass
        else:
            lock.acquire(timeout=60)
            lock.release()

    timer = threading.Timer(1.0, lock.release)
    timer.start()
    with lineshaft.profile() as found:
        take()
    timer.join()
    assert part_of(found, LOCK) > 0.8
    line = found.hot_lines(1)[0]
    assert (line.function.rpartition(".")[2], line.source.strip()) in {
        ("take", "with lock:"),
        ("take", "lock.acquire(timeout=60)"),
    }
    (said,) = [one for one in found.advice() if "waited for locks" in one]
    assert f"of it at {line.file}:{line.line} in " in said


def test_what_waits_behind_a_lock_does_not_wait_for_it():
    lock = threading.Lock()
    sleep = time.sleep

    def take() -> None:
        lock.acquire()
        sleep(0.5)
        lock.release()

    assert part_of(profiled(take), LOCK) == 0
