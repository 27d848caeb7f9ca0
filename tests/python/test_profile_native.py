"""Native functions above the lines of Python that called them, and that asking for them harms nobody."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable

import pytest

from lineshaft import Profile, profile
from support.processes import PATIENCE_S
from support.profiles import cool, hot, of, parsed, profiled, samples_of

KNOWN = ((3, 11), (3, 12), (3, 13))
pytestmark = pytest.mark.skipif(sys.version_info[:2] not in KNOWN, reason="the interpreter's insides are not known")

RANDOM = random.Random(1)
FLOATS = [RANDOM.random() for _ in range(300_000)]
TEXT = RANDOM.randbytes(1 << 16) * 64
VALUE = [{"name": "x" * 20, "prices": [number, number / 3]} for number in range(60_000)]


def sorts() -> None:
    sorted(FLOATS)


def packs() -> None:
    zlib.compress(TEXT, 6)


def hashes() -> None:
    hashlib.pbkdf2_hmac("sha256", b"word", b"salt", 100_000)


def dumps() -> None:
    json.dumps(VALUE)


def counts() -> None:
    number = 0
    for each in range(8_000_000):
        number ^= each


def several(work: Callable[[], None], seconds: float = 0.5) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        work()


def natives(found: Profile) -> dict[str, list[str]]:
    """Names of native functions with their libraries, by the function of Python that they are above."""
    by_name = {one.function: one.file for one in found.hot_functions(100_000)}
    above: dict[str, list[str]] = {}
    for names, _, _ in samples_of(parsed(found)):
        native = [name for name in names if by_name[name].startswith("<native ")]
        if native:
            assert names[: len(native)] == native, "native functions are the innermost ones"
            above.setdefault(names[len(native)], []).extend(f"{name} {by_name[name]}" for name in native)
    return above


@pytest.mark.parametrize(
    ("work", "line_of", "shown"),
    [(sorts, "sorts", "list_sort"), (packs, "packs", "libz"), (hashes, "hashes", "libcrypto"), (dumps, "", "_json")],
)
@pytest.mark.parametrize("is_thread", [False, True], ids=["main", "thread"])
def test_what_a_line_calls_natively_is_above_it(work, line_of, shown, is_thread):
    def body() -> None:
        # The tables of the program are read at the beginning, which may take long where others have the processors.
        with profile(native=True) as found:
            several(work, 1.5)
        kept.append(found)

    kept: list[Profile] = []
    if is_thread:
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
    else:
        body()
    (found,) = kept
    above = natives(found)
    if line_of:
        assert any(shown in name for name in above[line_of]), above
        assert set(above) <= {line_of, "several"}, above
        start = inspect.getsourcelines(work)[1]
        assert found.hot_lines(1)[0].line == start + 1
    else:
        # The encoder is called in the standard library, by a function whose lines are not ours.
        assert any(shown in name for names in above.values() for name in names), above
    assert sum(one.share for one in found.hot_functions(100_000)) == pytest.approx(1)


def test_a_call_that_never_lets_others_in_has_its_time_in_native_functions():
    floats = FLOATS * 4
    found = profiled(lambda: floats.sort(), native=True)
    native = sum(one.share for one in found.hot_functions(1_000) if one.file.startswith("<native "))
    assert native > 0.5
    assert of(found, "list_sort_impl") is not None or of(found, "list_sort") is not None or native > 0.8


def test_plain_python_has_its_time_at_its_lines():
    found = profiled(counts, native=True)
    lines, start = inspect.getsourcelines(counts)
    hottest = found.hot_lines(1)[0]
    assert start <= hottest.line < start + len(lines)
    names = " ".join(one.function for one in found.hot_functions(1_000))
    assert "take_gil" not in names
    assert "_PyEval_EvalFrame" not in names
    native = sum(one.share for one in found.hot_functions(1_000) if one.file.startswith("<native "))
    assert native < 0.3


def test_lines_that_take_turns_have_only_what_they_call():
    """Calls shorter than the time for which the interpreter's lock is waited for.

    What was seen in one line is not above another one.
    """

    def first() -> None:
        sorted(SHORT)

    def second() -> None:
        zlib.crc32(TEXT[:300_000])

    end = time.monotonic() + 1.5
    with profile(native=True, hz=500) as found:
        while time.monotonic() < end:
            first()
            second()
    above = natives(found)
    assert not any("crc" in name or "libz" in name for name in above.get(first.__qualname__, [])), above
    assert not any("sort" in name for name in above.get(second.__qualname__, [])), above
    assert above


SHORT = FLOATS[:5_000]


def test_all_threads_are_asked():
    def body() -> None:
        several(packs, 0.6)

    thread = threading.Thread(target=body, name="packer")
    with profile(native=True, threads="all") as found:
        thread.start()
        several(hashes, 0.6)
        thread.join()
    above = natives(found)
    assert any("libz" in name for name in above["packs"])
    assert any("libcrypto" in name for name in above["hashes"])


def test_a_thread_that_lets_no_signals_in_is_seen_without_native_functions():
    def body() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        with profile(native=True) as found:
            several(packs)
        kept.append(found)

    kept: list[Profile] = []
    thread = threading.Thread(target=body)
    thread.start()
    thread.join(PATIENCE_S)
    (found,) = kept
    assert natives(found) == {}
    assert of(found, "packs").total_share > 0.9


def test_signals_and_system_calls_of_the_program_go_on():
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    reading, writing = os.pipe()
    try:
        with profile(native=True, hz=1_000):
            timer = threading.Timer(0.3, os.write, (writing, b"x"))
            timer.start()
            started = time.monotonic()
            assert os.read(reading, 1) == b"x"
            time.sleep(0.3)
            assert time.monotonic() - started >= 0.6
            os.kill(os.getpid(), signal.SIGUSR1)
            assert not threading.Event().wait(0.1)
            timer.join()
            ended = subprocess.run([sys.executable, "-c", "print(3)"], capture_output=True, check=True)
    finally:
        signal.signal(signal.SIGUSR1, before)
        os.close(reading)
        os.close(writing)
    assert heard == [signal.SIGUSR1]
    assert ended.stdout == b"3\n"


FORKS = """
import os, sys, threading, zlib
import lineshaft

data = os.urandom(1 << 20)

def work():
    for _ in range(4):
        zlib.compress(data)

with lineshaft.profile(native=True, hz=1000, threads="all") as found:
    for _ in range(20):
        work()
        pid = os.fork()
        if not pid:
            with lineshaft.profile(native=True, hz=1000) as own:
                work()
            os._exit(0)
        assert (status := os.waitpid(pid, 0)[1]) == 0, status
print(any(one.file.startswith("<native libz") for one in found.hot_functions(10_000)))
sys.stdout.flush()
lineshaft.profile(native=True, threads="all").__enter__()
threading.Thread(target=work, daemon=True).start()
work()
"""


def test_forked_children_have_profiles_of_their_own_and_the_end_is_clean(programs):
    programs.write("forks.py", FORKS)
    ended = programs.run("forks.py")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")


FOREIGN = """
import sys, warnings
import lineshaft

sys.implementation.name = "otherpython"
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        with lineshaft.profile(native=True, hz=1000) as found:
            sorted(range(3_000_000), key=lambda number: -number)
print([one.category.__name__ for one in caught], found.samples > 0, "<native" in str(found))
"""


def test_an_interpreter_that_is_not_known_has_none_and_says_so_once(programs):
    programs.write("foreign.py", FOREIGN)
    ended = programs.run("foreign.py")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "['RuntimeWarning'] True False\n", "")


def test_threads_that_end_all_the_time_are_looked_at_without_harm():
    def short() -> None:
        zlib.compress(TEXT[:20_000])

    end = time.monotonic() + 1
    with profile(native=True, hz=1_000, threads="all") as found:
        while time.monotonic() < end:
            threads = [threading.Thread(target=short) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert found.samples > 50


def test_it_is_above_functions_too_and_survives_bytes_merges_and_files(tmp_path):
    @profile(native=True)
    def work() -> None:
        packs()

    for _ in range(3):
        several(work, 0.2)
    found = Profile.from_bytes(work.profile.to_bytes())
    found.merge(work.profile)
    assert any("libz" in name for name in natives(found)["packs"])
    assert "libz" in str(found)
    for suffix in (".svg", ".html", ".speedscope.json"):
        found.save(tmp_path / f"native{suffix}")
        assert "libz" in (tmp_path / f"native{suffix}").read_text()


def test_without_the_option_there_are_none():
    found = profiled(lambda: (hot(0.1), cool(0.1), several(packs, 0.2)))
    assert not any(one.file.startswith("<native ") for one in found.hot_functions(10_000))
