"""`app.cached`: results that all processes of a host share."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from conftest import environment
from lineshaft import App, DeclarationError, OptionError, SerializationError
from lineshaft._cached import _host
from support.processes import PATIENCE_S, until

ROUNDS = int(os.environ.get("LINESHAFT_KILL_ROUNDS", "100"))
HERE = Path(__file__).parent


@pytest.fixture
def app(tmp_path):
    yield App(tmp_path / "home", host_cache="4MiB")
    leave()


def leave() -> None:
    """As at the end of this process."""
    for table in _host._tables.values():
        if table is not None:
            table.close()
    _host._tables.clear()


class Host:
    """Processes that run `shared_results.py`."""

    def __init__(self, directory: Path) -> None:
        self.marks = directory / "marks"
        self.marks.mkdir()
        self.env = environment() | {"HOST_CACHE_HOME": str(directory / "home"), "HOST_CACHE_MARKS": str(self.marks)}
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, code: str, **env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "shared_results.py"), code],
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def run(self, code: str, **env: str) -> str:
        process = self.start(code, **env)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, err
        return out.strip()

    def keep(self) -> None:
        """Has the table be there until the end of the test, whoever leaves it."""
        process = self.start("price.cache.peek('nothing'); print('ready', flush=True); input()")
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

    def marked(self, what: str) -> int:
        path = self.marks / what
        return len(path.read_bytes()) if path.exists() else 0


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path)
    yield host
    for process in host.processes:
        process.kill()
        process.communicate()
    # As the last of them would have, if it had ended by itself.
    path = table_of(Path(host.env["HOST_CACHE_HOME"]))
    path.unlink(missing_ok=True)


def table_of(home: Path) -> Path:
    import hashlib

    digest = hashlib.sha256(os.path.realpath(home).encode()).hexdigest()[:16]
    return Path(f"/dev/shm/lineshaft-{os.geteuid()}-{digest}")


# ---- One process.


def test_what_was_computed_is_a_copy_for_each_call(app):
    calls = []

    @app.cached
    def rows(count: int, *, of: str = "row") -> list[str]:
        calls.append(count)
        return [of] * count

    first = rows(2)
    first.append("mine")
    assert rows(2) == rows(count=2) == rows(2, of="row") == ["row", "row"]
    assert rows(2, of="line") == ["line", "line"]
    assert calls == [2, 2]
    assert rows.cache.peek(2) == ["row", "row"]
    assert rows.cache.peek(3) is None
    info = rows.cache.info()
    assert (info.hits, info.misses, info.size) == (3, 2, 2)


def test_arguments_count_by_what_they_contain(app):
    calls = []

    @app.cached
    def total(things, factor=1):
        calls.append(things)
        return sum(things)

    assert total([1, 2]) == total([1, 2], 1) == 3
    assert total({1, 2}) == total({2, 1}) == total(frozenset({2, 1})) == 3
    assert total((1, 2)) == 3
    assert len(calls) == 4, "a list, a set, a frozen set and a tuple"
    with pytest.raises(SerializationError, match="key="):
        total(object())
    with pytest.raises(TypeError):
        total()


def test_key_says_what_is_equal(app):
    @app.cached(key=lambda request: request.path)
    def page(request) -> str:
        return f"{request.path} for {request.user}"

    @dataclasses.dataclass
    class Request:
        path: str
        user: object

    assert page(Request("/a", object())) == page(Request("/a", object()))


def test_lives_and_errors(app):
    now = []

    @app.cached(ttl="50ms", negative="1h")
    def number(wrong: bool) -> int:
        now.append(wrong)
        if wrong:
            raise LookupError("wrong", 7)
        return len(now)

    for _ in range(2):
        with pytest.raises(LookupError) as caught:
            number(True)
        assert caught.value.args == ("wrong", 7)
    assert number(False) == 2
    until(lambda: number(False) > 2, "its time is over")
    assert now.count(True) == 1


def test_an_error_is_not_kept_unless_told(app):
    calls = []

    @app.cached
    def fails() -> None:
        calls.append(1)
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            fails()
    assert len(calls) == 2


def test_what_is_stale_is_served_while_one_computes_it_anew(app):
    computed = threading.Semaphore(0)
    calls = []

    @app.cached(ttl="20ms", stale="1h")
    def number() -> int:
        calls.append(1)
        computed.release()
        return len(calls)

    assert number() == 1
    time.sleep(0.1)
    assert number() == 1
    until(lambda: number.cache.peek() == 2, "it is computed anew")
    assert number.cache.info().stale_hits >= 1


def test_tags_keys_and_clear_make_untrue(app):
    @app.cached(tags=lambda user, field: [f"user:{user}"])
    def profile(user: int, field: str) -> str:
        return f"{field} of {user}"

    @app.cached(tags=["user:7"])
    def other() -> int:
        return 1

    calls = [(7, "name"), (7, "mail"), (8, "name")]
    for call in calls:
        profile(*call)
    other()

    def kept() -> list[bool]:
        return [profile.cache.peek(*call) is not None for call in calls]

    assert profile.cache.invalidate(tag="user:7")
    assert kept() == [False, False, True]
    assert other.cache.peek() == 1, "a tag is of a function"
    assert profile.cache.invalidate(8, "name")
    assert not profile.cache.invalidate(8, "name")
    profile.cache.warm(7, "name")
    assert kept() == [True, False, False]
    profile.cache.clear()
    assert kept() == [False] * 3


def test_what_is_made_untrue_while_it_is_computed_is_not_kept(app):
    begun, goes_on = threading.Event(), threading.Event()

    @app.cached
    def number(x: int) -> int:
        begun.set()
        assert goes_on.wait(PATIENCE_S)
        return x

    thread = threading.Thread(target=number, args=(1,))
    thread.start()
    assert begun.wait(PATIENCE_S)
    number.cache.invalidate(1)
    goes_on.set()
    thread.join(PATIENCE_S)
    assert number.cache.peek(1) is None


def test_what_cannot_be_kept_is_given_and_said_once(app, caplog):
    @app.cached
    def thing(size: int) -> object:
        return os.urandom(size) if size else object()

    with caplog.at_level(logging.WARNING, "lineshaft"):
        assert type(thing(0)) is type(thing(0)) is object
        assert len(thing(8 << 20)) == len(thing(8 << 20)) == 8 << 20
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "is not a value" in caplog.text
    assert "too large" in caplog.text


def test_methods_and_recursion(app):
    @dataclasses.dataclass
    class Shop:
        name: str

        @app.cached
        def price(self, item: str) -> str:
            return f"{item} of {self.name}"

    assert Shop("a").price("tea") == Shop("a").price("tea") == "tea of a"
    assert Shop("b").price("tea") == "tea of b"
    assert Shop.price.cache.info().misses == 2

    @app.cached
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(60) == 1_548_008_755_920


def test_threads_and_coroutines_wait_for_the_one_that_computes(app):
    calls = []

    @app.cached
    def slow(x: int) -> int:
        calls.append(x)
        time.sleep(0.1)
        return x

    threads = [threading.Thread(target=slow, args=(1,)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)

    @app.cached
    async def later(x: int) -> int:
        calls.append(x)
        await asyncio.sleep(0.05)
        return x

    async def main() -> list[int]:
        return await asyncio.gather(*(later(2) for _ in range(10)))

    assert asyncio.run(main()) == [2] * 10
    assert asyncio.run(later(2)) == 2
    assert calls == [1, 2]
    assert later.cache.peek(2) == 2


def test_scope_process_is_lineshaft_cached(app):
    @app.cached(scope="process", max=2)
    def thing(x: int) -> object:
        return object()

    assert thing(1) is thing(1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scope": "planet"}, "scope"),
        ({"max": 3}, "scope=.process."),
        ({"typed": True}, "scope=.process."),
        ({"ttl": "soon"}, "ttl"),
        ({"stale": "1m"}, "ttl"),
    ],
)
def test_wrong_options_are_refused(app, options, words):
    with pytest.raises(OptionError, match=words):
        app.cached(**options)


def test_a_room_that_cannot_be_is_refused():
    for room in ("1KiB", "65GiB", "much", 0):
        with pytest.raises(OptionError, match="host_cache"):
            App(host_cache=room)


def test_what_is_no_function_is_refused(app):
    with pytest.raises(DeclarationError, match="generator"):

        @app.cached
        def numbers():
            yield 1


def test_without_shared_memory_each_process_keeps_its_own(app, monkeypatch, caplog, tmp_path):
    monkeypatch.setattr(_host, "DIRECTORY", str(tmp_path / "nowhere"))

    @app.cached(tags=["all"])
    def number(x: int) -> object:
        return x + 0.5

    with caplog.at_level(logging.WARNING, "lineshaft"):
        assert number(1) is number(1)
        number.cache.invalidate(tag="all")
        assert number.cache.peek(1) is None
    assert len(caplog.records) == 1
    assert "each keeps its own" in caplog.text
    assert "nowhere" in caplog.text


# ---- Many processes.


def test_what_one_computes_another_gets(host):
    host.keep()
    assert host.run("price('tea'); price('tea', tax=True); print(price(item='tea'))") == "Price(item='tea', cents=300)"
    assert host.run("print(price('tea', tax=True).cents)") == "301"
    assert host.marked("price-tea") == 2
    [keeper] = (process for process in host.processes if process.poll() is None)
    keeper.communicate("\n", timeout=PATIENCE_S)
    assert not table_of(Path(host.env["HOST_CACHE_HOME"])).exists(), "the last has left"


def test_a_change_counts_everywhere_before_the_call_returns(host):
    code = """
price('tea')
print('ready', flush=True)
while input() == 'look':
    print(price.cache.peek('tea'), flush=True)
"""
    other = host.start(code)
    assert other.stdout is not None
    assert other.stdin is not None
    assert other.stdout.readline() == "ready\n"

    def seen() -> str:
        print("look", file=other.stdin, flush=True)
        return other.stdout.readline().strip()

    assert seen() == "Price(item='tea', cents=300)"
    for how in ("price.cache.invalidate('tea')", "price.cache.invalidate(tag='item:tea')", "price.cache.clear()"):
        host.run(how)
        assert seen() == "None", how
        host.run("price('tea')")
        assert seen() != "None"


def test_eight_processes_that_miss_at_once_compute_it_once(host):
    code = """
import threading
input()
threads = [threading.Thread(target=slow, args=(1,)) for _ in range(125)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(slow(1), asyncio.run(later(1)))
"""
    host.keep()
    processes = [host.start(code, HOST_CACHE_SLOW="1") for _ in range(8)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        out, err = process.communicate(timeout=PATIENCE_S)
        assert out == "2 [1]\n", err
    assert (host.marked("slow-1"), host.marked("later-1")) == (1, 1)


def test_errors_are_kept_for_all(host):
    code = """
try:
    fails(3)
except LookupError as error:
    print(error.args)
"""
    host.keep()
    assert [host.run(code) for _ in range(2)] == ["('no 3', 3)"] * 2
    assert host.marked("fails-3") == 1


def test_who_computes_and_is_killed_is_followed_by_one_who_waits(host):
    first = host.start("slow(5)", HOST_CACHE_SLOW="600")
    until(lambda: host.marked("slow-5") == 1, "it computes")
    second = host.start("print(slow(5))")
    time.sleep(0.2)
    assert second.poll() is None, "it waits"
    first.kill()
    out, err = second.communicate(timeout=PATIENCE_S)
    assert out == "6\n", err
    assert host.marked("slow-5") == 2


def test_nobody_hangs_and_nothing_is_torn_whoever_is_killed_when(host):
    processes = [host.start("numbers()") for _ in range(3)]
    rng = random.Random(5)
    for _ in range(ROUNDS):
        time.sleep(rng.random() * 0.02)
        process = processes.pop(0)
        assert process.poll() is None, process.communicate()[1]
        process.send_signal(signal.SIGKILL)
        process.communicate()
        host.processes.remove(process)
        # Starting one takes longer than killing one: so there is a row of them.
        processes.append(host.start("numbers()"))
    assert host.run("print(blob(7) == bytes([7]) * 280)") == "True"


def test_a_forked_child_shares_with_its_parent(host):
    code = """
keeps = price('tea')
pid = os.fork()
if pid == 0:
    price.cache.invalidate('tea')
    slow(9)
    os._exit(0)
os.waitpid(pid, 0)
print(price.cache.peek('tea'), slow.cache.peek(9))
"""
    assert host.run(code) == "None 10"


def test_calls_while_the_interpreter_ends_are_answered(host):
    code = """
import atexit, lineshaft._cached._shared as shared
atexit.unregister(shared._leave)
atexit.register(lambda: print(price('tea').cents, price('coffee').cents))
atexit.register(shared._leave)
print(price('tea').cents)
"""
    assert host.run(code).split() == ["300", "300", "600"]


def test_code_that_has_changed_is_another_function(tmp_path, app):
    def load(text: str):
        path = tmp_path / "changing.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("changing", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return app.cached(module.rate)

    assert load("def rate(x):\n    return x in {'a', 'b'}")("a") is True
    assert load("def rate(x):\n    return x in {'c', 'b'}")("a") is False
    same = load("# moved\n\ndef rate(x):\n    return x in {'a', 'b'}")
    assert same.cache.peek("a") is True


@pytest.mark.parametrize("how", ["arguments", "tag", "clear"])
def test_a_coroutine_that_asks_after_an_invalidation_waits_for_none_from_before(app, how):
    source = ["old"]

    @app.cached(tags=["all"])
    async def read(name: str) -> str:
        value = source[0]
        if value == "old":
            await goes_on.wait()
        return value

    goes_on = asyncio.Event()

    async def main() -> None:
        first = asyncio.create_task(read("a"))
        while source[0] == "old":
            await asyncio.sleep(0.01)
            source[0] = "new"
        if how == "arguments":
            read.cache.invalidate("a")
        elif how == "clear":
            read.cache.clear()
        else:
            read.cache.invalidate(tag="all")
        assert await read("a") == "new"
        goes_on.set()
        assert await first == "old"
        assert await read("a") == "new"

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))
