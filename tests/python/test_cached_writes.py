"""What is put into a cache, written through it, computed early, and told of when it goes."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from lineshaft import DeclarationError, OptionError, cached
from lineshaft._cached import _writes
from support.processes import PATIENCE_S, until


class Source:
    """What a function reads from, with a count of who did."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.reads: list[str] = []
        self.writes: list[tuple[str, int]] = []
        self.broken: list[Exception] = []

    def read(self, name: str) -> int:
        self.reads.append(name)
        return self.values[name]

    def write(self, value: int, name: str) -> None:
        if self.broken:
            raise self.broken[0]
        self.writes.append((name, value))
        self.values[name] = value


@pytest.fixture
def source():
    return Source()


def test_a_value_that_is_put_is_kept_as_if_it_had_been_computed(source):
    read = cached(source.read)
    read.cache.put(5, "a")
    assert read("a") == 5
    assert read(name="a") == 5
    assert (source.reads, source.writes) == ([], [])
    read.cache.put(6, name="a")
    assert read("a") == 6


def test_a_value_is_written_before_it_is_kept(source):
    read = cached(write=source.write)(source.read)
    read.cache.put(5, "a")
    assert (source.writes, read("a"), source.reads) == ([("a", 5)], 5, [])
    source.broken = [OSError("no room")]
    with pytest.raises(OSError, match="no room"):
        read.cache.put(6, "a")
    assert read("a") == 5


def test_what_is_put_takes_the_place_of_what_is_being_computed(source):
    begun, go = threading.Event(), threading.Event()

    @cached
    def read(name: str) -> int:
        begun.set()
        assert go.wait(PATIENCE_S)
        return 1

    first = []
    thread = threading.Thread(target=lambda: first.append(read("a")))
    thread.start()
    assert begun.wait(PATIENCE_S)
    read.cache.put(2, "a")
    go.set()
    thread.join()
    assert first == [1]
    assert read("a") == 2


@pytest.mark.parametrize("first", ["before", "after"])
def test_of_two_that_are_put_at_once_the_one_that_was_written_last_counts(source, first):
    """One is held up between its write and its end, by a write that puts another one."""
    read = None

    def write(value: int, name: str) -> None:
        if value == 1 and first == "after":
            read.cache.put(2, name)
        source.write(value, name)
        if value == 1 and first == "before":
            read.cache.put(2, name)

    read = cached(write=write)(source.read)
    read.cache.put(1, "a")
    assert read("a") == source.values["a"] == {"before": 2, "after": 1}[first]


def test_what_depends_on_what_is_put_goes(source):
    read = cached(source.read)

    @cached(depends_on=lambda name: [read.cache.key(name)])
    def twice(name: str) -> int:
        return 2 * read(name)

    source.values["a"] = 1
    assert twice("a") == 2
    read.cache.put(5, "a")
    assert twice("a") == 10


def test_what_is_put_has_tags_and_a_time(source):
    read = cached(tags=["all"], ttl="1h")(source.read)
    read.cache.put(5, "a")
    assert read.cache.tag_info("all").size == 1
    source.values["a"] = 7
    assert read.cache.invalidate(tag="all")
    assert read("a") == 7


def test_wrong_arguments_of_put_are_refused(source):
    read = cached(source.read)
    with pytest.raises(TypeError, match="does not take these arguments"):
        read.cache.put(5, "a", "b")
    assert read.cache.info().size == 0


# ---- Later.


def test_values_are_written_later_and_of_each_entry_the_last_one(source):
    read = cached(write=source.write, behind="1h")(source.read)
    for value in range(100):
        read.cache.put(value, "a")
    read.cache.put(5, "b")
    assert (read("a"), read("b"), source.writes, source.reads) == (99, 5, [], [])
    assert read.cache.flush(PATIENCE_S)
    assert sorted(source.writes) == [("a", 99), ("b", 5)]


def test_they_are_written_in_time_by_themselves(source):
    read = cached(write=source.write, behind="20ms")(source.read)
    read.cache.put(1, "a")
    until(lambda: source.writes == [("a", 1)], "the first is written")
    read.cache.put(2, "a")
    until(lambda: source.writes == [("a", 1), ("a", 2)], "the second is written")


def test_what_is_not_written_is_answered_whether_it_is_kept_or_not(source):
    read = cached(max=1, write=source.write, behind="1h")(source.read)
    source.values = {"a": 1, "b": 2}
    read.cache.put(10, "a")
    assert read("b") == 2
    read.cache.clear()
    assert (read("a"), source.reads) == (10, ["b"])
    assert read.cache.flush(PATIENCE_S)
    read.cache.clear()
    assert read("a") == 10
    assert source.reads == ["b", "a"]


def test_each_instance_has_values_of_its_own_that_wait():
    saved = []

    class Shop:
        __hash__ = None

        def __init__(self, name: str) -> None:
            self.name = name

        def save(self, count: int, item: str) -> None:
            saved.append((self.name, item, count))

        @cached(write=lambda count, shop, item: shop.save(count, item), behind="1h")
        def stock(self, item: str) -> int:
            return 0

    north, south = Shop("north"), Shop("south")
    north.stock.cache.put(5, "tea")
    north.stock.cache.clear()
    assert (north.stock("tea"), south.stock("tea")) == (5, 0)
    assert north.stock.cache.flush(PATIENCE_S)
    assert saved == [("north", "tea", 5)]


def test_a_write_that_fails_is_said_once_and_tried_again(source, monkeypatch, caplog):
    monkeypatch.setattr(_writes, "PAUSE_FIRST_S", 0.001)
    monkeypatch.setattr(_writes, "PAUSE_MAX_S", 0.01)
    source.broken = [OSError("no room")]
    read = cached(write=source.write, behind="1ms")(source.read)
    with caplog.at_level(logging.ERROR, "lineshaft"):
        read.cache.put(1, "a")
        assert not read.cache.flush(0.2)
        assert read("a") == 1
        source.broken = []
        assert read.cache.flush(PATIENCE_S)
    assert source.writes == [("a", 1)]
    assert len(caplog.records) == 1
    assert "Source.read: a value could not be written" in caplog.text


def test_who_puts_too_many_writes_himself(source, monkeypatch):
    monkeypatch.setattr(_writes, "WAITING_MAX", 2)
    read = cached(write=source.write, behind="1h")(source.read)
    for number, name in enumerate("abcd"):
        read.cache.put(number, name)
    assert source.writes == [("c", 2), ("d", 3)]
    assert read.cache.flush(PATIENCE_S)
    assert sorted(source.writes) == [("a", 0), ("b", 1), ("c", 2), ("d", 3)]


def test_many_threads_put_and_the_last_of_each_entry_is_written(source):
    read = cached(write=source.write, behind="1ms")(source.read)
    names = [f"n{number}" for number in range(20)]

    def put(name: str) -> None:
        for value in range(200):
            read.cache.put(value, name)

    threads = [threading.Thread(target=put, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read.cache.flush(PATIENCE_S)
    assert source.values == dict.fromkeys(names, 199)
    for name in names:
        values = [value for there, value in source.writes if there == name]
        assert values == sorted(values)


def ended(program: str) -> str:
    """What a program prints until its end."""
    code = textwrap.dedent(program)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout + done.stderr


def test_the_end_of_the_process_writes_what_waits():
    assert "saved 5" in ended(
        """
        from lineshaft import cached
        read = cached(write=lambda value, name: print("saved", value), behind="1h")(lambda name: 0)
        read.cache.put(5, "a")
        """
    )


def test_what_cannot_be_written_at_the_end_is_said():
    said = ended(
        """
        from lineshaft import cached
        from lineshaft._cached import _writes
        _writes.END_S = 0.3
        def fail(value, name):
            raise OSError("no room")
        read = cached(write=fail, behind="1h")(lambda name: 0)
        read.cache.put(5, "a")
        """
    )
    assert "1 values could not be written before the process ended" in said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_does_not_write_what_waits_in_its_parent():
    said = ended(
        """
        import os
        from lineshaft import cached
        read = cached(write=lambda value, name: print("saved", value, name, flush=True), behind="1h")(lambda name: 0)
        read.cache.put(5, "parent's")
        child = os.fork()
        if child == 0:
            read.cache.put(6, "child's")
            raise SystemExit
        os.waitpid(child, 0)
        """
    )
    assert sorted(said.split("\n")) == ["", "saved 5 parent's", "saved 6 child's"]


# ---- Coroutines.


def test_put_of_a_coroutine_function_awaits_its_write(source):
    async def write(value: int, name: str) -> None:
        await asyncio.sleep(0)
        source.write(value, name)

    @cached(write=write)
    async def read(name: str) -> int:
        return source.read(name)

    async def main() -> int:
        await read.cache.put(5, "a")
        source.broken = [OSError("no room")]
        with pytest.raises(OSError, match="no room"):
            await read.cache.put(6, "a")
        return await read("a")

    assert asyncio.run(main()) == 5
    assert (source.writes, source.reads) == ([("a", 5)], [])


def test_a_put_that_is_cancelled_keeps_nothing(source):
    @cached(write=lambda value, name: asyncio.sleep(3600))
    async def read(name: str) -> int:
        return 1

    async def main() -> int:
        put = asyncio.create_task(read.cache.put(5, "a"))
        await asyncio.sleep(0)
        put.cancel()
        with pytest.raises(asyncio.CancelledError):
            await put
        return await read("a")

    assert asyncio.run(main()) == 1


# ---- Early.


def test_an_entry_is_computed_anew_before_its_time_is_over():
    times = []

    @cached(ttl="60s", early=100)
    def slow() -> int:
        times.append(time.monotonic())
        time.sleep(0.2)
        return len(times)

    assert slow() == 1
    # With 100 times 0.2 s before the end of 60 s, one look in twenty or so computes: -ln(chance) has to exceed 3.
    until(lambda: slow() > 1, "it is computed anew")
    assert slow.cache.info().misses == 1
    assert slow.cache.info().expirations == 0


def test_a_coroutine_too():
    computed = []

    @cached(ttl="60s", early=100)
    async def slow() -> int:
        computed.append(1)
        await asyncio.sleep(0.2)
        return len(computed)

    async def main() -> None:
        assert await slow() == 1
        deadline = time.monotonic() + PATIENCE_S
        while await slow() == 1:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)

    asyncio.run(main())


def test_nothing_is_computed_early_without_early():
    computed = []

    @cached(ttl="60s")
    def slow() -> None:
        computed.append(1)
        time.sleep(0.2)

    for _ in range(10_000):
        slow()
    assert computed == [1]


# ---- Told.


def test_who_goes_and_why_is_told():
    told = []

    @cached(max=2, policy="lru", tags=lambda name: [name], on_removal=lambda value, why: told.append((value, why)))
    def made(name: str) -> str:
        return name.upper()

    made("a"), made("b"), made("c")
    assert told == [("A", "evicted")]
    made.cache.invalidate("b")
    made.cache.put("other", "c")
    made.cache.invalidate(tag="c")
    made("c"), made("d")
    made.cache.clear()
    assert told[1:4] == [("B", "invalidated"), ("C", "replaced"), ("other", "invalidated")]
    assert sorted(told[4:]) == [("C", "cleared"), ("D", "cleared")]


def test_expired_values_are_told_of_and_exceptions_are_not():
    told = []

    @cached(ttl="20ms", negative="20ms", on_removal=lambda value, why: told.append((value, why)))
    def made(name: str) -> str:
        if name == "bad":
            raise ValueError(name)
        return name

    made("a")
    with pytest.raises(ValueError, match="bad"):
        made("bad")
    until(lambda: made.cache.info().size == 0, "their time is over")
    assert told == [("a", "expired")]


def test_a_listener_may_use_the_cache_and_what_it_raises_is_nobodys(monkeypatch):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)

    def told(value: str, why: str) -> None:
        assert made("again") == "again"
        raise RuntimeError("listening")

    @cached(on_removal=told)
    def made(name: str) -> str:
        return name

    made("a")
    assert made.cache.invalidate("a")
    assert [str(one.exc_value) for one in unraisable] == ["listening"]
    assert made.cache.peek("again") == "again"


# ---- What is refused.


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"early": -1, "ttl": "1m"}, "`early`: -1 is not accepted"),
        ({"early": True, "ttl": "1m"}, "`early`: True is not accepted"),
        ({"early": 1}, "beside `ttl`"),
        ({"write": "save"}, "`write`: 'save' is not"),
        ({"behind": "1s"}, "beside `write`"),
        ({"behind": "soon", "write": print}, '`behind`: "soon" is not a duration'),
        ({"on_removal": 1}, "`on_removal`: 1 is not accepted"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(OptionError) as caught:
        cached(**options)
    assert said in str(caught.value)


def test_behind_is_refused_for_a_coroutine_function():
    with pytest.raises(DeclarationError, match="not for coroutine functions"):

        @cached(write=print, behind="1s")
        async def read() -> int:
            return 1
