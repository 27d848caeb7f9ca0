"""That nobody is harmed by being looked at, whatever happens meanwhile."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lineshaft import Profile, profile
from lineshaft._profile._table import table
from lineshaft._profiles import _Found
from support.processes import PATIENCE_S, until
from support.profiles import burn, cool, hot, of, profiled, stacks_cpu


def test_a_body_that_is_shorter_than_a_period_has_no_samples_and_says_so(tmp_path):
    found = profiled(lambda: None, hz=1)
    assert found.samples == 0
    assert "no samples" in str(found)
    assert found.advice() == []
    assert found.hot_lines(10) == found.hot_functions(10) == []
    assert found.duration > 0
    for suffix in (".svg", ".html", ".speedscope.json", ".pb.gz"):
        found.save(tmp_path / f"nothing{suffix}")
    assert Profile.from_bytes(found.to_bytes()).samples == 0


def test_a_profile_of_what_was_awaited_alone_says_so():
    """It was said that it took less than one period."""
    waits = SimpleNamespace(function="pay", file="shop.py", line=7, awaited=2.0, total_wall=0.0)
    found = SimpleNamespace(
        samples=0,
        duration=2.0,
        memory_peak=0,
        hot_functions=lambda _: [waits],
        allocations=lambda _: [],
        advice=list,
    )
    said = "no samples of a thread in 2.00 s: tasks only waited\n\n awaited  function\n  2.00 s  pay (shop.py:7)"
    assert table(cast("Profile", found)) == said


def test_a_profile_that_cannot_be_read_leaves_the_others(caplog):
    """One of a newer version, and no profile of the task could be read."""
    newer, mine = b"LSPR\x09", Profile().to_bytes()
    found = _Found(10)
    found.add(([(b"1", 1, newer), (b"2", 1, mine), (b"3", 1, mine)], None, True))
    assert len(found.profiles) == 2
    assert "1 profile was left out: this profile has version 9 of the format" in caplog.text
    with pytest.raises(ValueError, match="version 9"):
        _Found(10).add(([(b"1", 1, newer)], None, True))


def test_a_deep_recursion_is_cut_at_its_outer_end():
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        else:
            burn(0.3)

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        thread_limit = threading.stack_size(512 << 20)
        try:
            thread = threading.Thread(target=lambda: kept.append(profiled(lambda: deep(10_000))))
            kept: list[Profile] = []
            thread.start()
            thread.join()
        finally:
            threading.stack_size(thread_limit)
    finally:
        sys.setrecursionlimit(limit)
    (found,) = kept
    depths = [len(names) for names, _ in stacks_cpu(found) if "burn" in names]
    assert set(depths) == {513}
    assert of(found, "(deeper)") is not None
    assert of(found, "burn").total_share == pytest.approx(1, abs=0.3)


def test_profiles_in_each_other_both_see():
    with profile() as outer:
        hot(0.15)
        with profile(threads="all") as inner:
            cool(0.15)
    assert of(outer, "hot")
    assert of(outer, "cool")
    assert of(inner, "cool")
    assert of(inner, "hot") is None


def test_a_profiler_is_for_one_block_at_a_time():
    profiler = profile()
    with profiler, pytest.raises(RuntimeError, match="in use"), profiler:
        pass
    with profiler as found:
        burn(0.1)
    assert found.samples > 0


def run(tmp_path: Path, source: str) -> subprocess.CompletedProcess[str]:
    program = tmp_path / "program.py"
    program.write_text(source)
    return subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_a_forked_child_is_not_profiled(tmp_path):
    ended = run(
        tmp_path,
        """
import gc, os, time, tracemalloc, warnings, lineshaft
warnings.simplefilter("ignore")
with lineshaft.profile(hz=1000, memory=True) as found:
    sum(range(3_000_000))
    child = os.fork()
    sum(range(3_000_000))
if child == 0:
    # Whatever the profiler left behind would be used here.
    gc.collect()
    with lineshaft.profile() as again:
        until = time.thread_time() + 0.5
        while time.thread_time() < until:
            sum(range(10_000))
    print("child", found.samples, again.samples > 0, again.cpu > 0, tracemalloc.is_tracing(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("parent", found.samples > 0)
""",
    )
    assert ended.stdout == "child 0 True True False\nparent True\n", ended.stderr
    assert ended.returncode == 0


def test_many_forks_amid_profiles_end(tmp_path):
    ended = run(
        tmp_path,
        """
import os, warnings, lineshaft
warnings.simplefilter("ignore")
with lineshaft.profile(hz=1000, threads="all") as found:
    for _ in range(100):
        child = os.fork()
        if child == 0:
            with lineshaft.profile(hz=1000):
                sum(range(10_000))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
print("done")
""",
    )
    assert ended.stdout == "done\n", ended.stderr


@pytest.mark.parametrize("end", ["pass", "sys.exit(3)", "raise KeyError", "threading.Thread(target=late).start()"])
def test_the_interpreter_ends_amid_a_profile(tmp_path, end):
    ended = run(
        tmp_path,
        f"""
import sys, threading, time, lineshaft


def late():
    time.sleep(0.1)
profilers = [lineshaft.profile(hz=1000, threads="all") for _ in range(3)]
for profiler in profilers:
    profiler.__enter__()
sum(range(1_000_000))
{end}
""",
    )
    assert ended.returncode == {"pass": 0, "sys.exit(3)": 3, "raise KeyError": 1}.get(end, 0), ended.stderr
    assert ("Traceback" in ended.stderr) == (end == "raise KeyError"), ended.stderr


def test_nothing_is_left_when_the_block_is_over():

    class Held:
        pass

    def work() -> weakref.ref[Held]:
        held = Held()
        profiled(lambda: burn(0.05))
        return weakref.ref(held)

    callbacks, threads = list(gc.callbacks), len(os.listdir("/proc/self/task"))
    held = work()
    assert held() is None
    assert gc.callbacks == callbacks
    until(lambda: len(os.listdir("/proc/self/task")) == threads, "the thread of the profiler is gone")
    assert gc.isenabled()


def test_the_collector_stays_off_where_it_was():

    gc.disable()
    try:
        profiled(lambda: burn(0.1), hz=1_000)
        assert not gc.isenabled()
    finally:
        gc.enable()
