"""What goes wrong around logging, and that who logs does not notice."""

from __future__ import annotations

import json
import logging
import os
import resource
import threading
import time
from pathlib import Path

import pytest

from lineshaft.logging import Handler, configure, flush, get_logger, records, status

MEMORY = {"kind": "memory", "records": 100_000, "bytes": "64MiB"}


@pytest.fixture(autouse=True)
def _quiet_again():
    yield
    configure(level="warning", handlers=[])


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "app.log"


def to_file(path: Path, **options) -> dict:
    return {"kind": "file", "path": path, "format": "{message}", **options}


def test_a_file_that_is_deleted_or_moved_by_others_is_made_again(path):
    configure(handlers=[to_file(path)])
    log = get_logger("app")
    log.info("one")
    flush()
    path.rename(path.with_name("moved"))
    log.info("two")
    flush()
    path.unlink()
    log.info("three")
    flush()
    assert path.with_name("moved").read_text() == "one\n"
    assert path.read_text() == "three\n"


def test_a_handler_that_hangs_holds_up_nobody(path):
    let_go = threading.Event()
    configure(handlers=[to_file(path), {"kind": "callable", "call": lambda record: let_go.wait(60), "name": "hangs"}])
    began = time.monotonic()
    for number in range(2_000):
        get_logger("app").info(str(number))
    assert not flush(timeout=0.5)
    assert time.monotonic() - began < 10
    assert path.read_text().splitlines() == [str(number) for number in range(2_000)]
    let_go.set()
    assert flush(timeout=30)
    assert status().handlers[1].handled == 2_000


def test_a_handler_that_raises_is_told_once_and_counted(path, capsys, monkeypatch):
    import io
    import sys

    told = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", told)

    def odd(record):
        if record.message in "02468":
            raise ValueError("even")

    configure(handlers=[to_file(path), odd])
    for number in range(10):
        get_logger("app").info(str(number))
    assert flush(timeout=10)
    assert len(path.read_text().splitlines()) == 10
    of_odd = status().handlers[1]
    assert (of_odd.handled, of_odd.failed, of_odd.is_healthy) == (5, 5, True)
    assert told.getvalue().count("ValueError: even") == 1
    assert told.getvalue().startswith("lineshaft: the log handler ")


def test_a_handler_that_logs_does_not_feed_itself():
    seen = []

    def handler(record):
        seen.append(record.message)
        get_logger("app").warning("from the handler")

    configure(handlers=[handler])
    get_logger("app").info("x")
    assert flush(timeout=10)
    get_logger("app").info("y")
    assert flush(timeout=10)
    assert seen == ["x", "y"]


def test_a_filter_that_raises_lets_through(monkeypatch):
    import io
    import sys

    told = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", told)

    def broken(record):
        raise KeyError("user")

    configure(handlers=[MEMORY], filters=[broken])
    get_logger("app").info("a")
    get_logger("app").info("b")
    assert [record.message for record in records()] == ["a", "b"]
    assert told.getvalue().count("the log filter") == 1


class Unprintable:
    def __repr__(self):
        raise ValueError("no")


class Chatty:
    """Logs what it is when it says what it is."""

    def __repr__(self):
        get_logger("app").info("from repr", me=self)
        return "chatty"


class Changing(dict):
    pass


def test_a_repr_that_raises_or_logs_does_no_harm():
    configure(handlers=[MEMORY])
    get_logger("app").info("a", it=Unprintable(), many=[Unprintable()], key={Unprintable: 1})
    get_logger("app").info("b", it=Chatty())
    get_logger("app").info(Unprintable())
    said = [(record.message, record.fields.get("it") or record.fields.get("me")) for record in records()]
    unprintable = "<Unprintable whose repr raises ValueError>"
    assert said == [
        ("a", unprintable),
        ("from repr", "chatty"),
        ("b", "chatty"),
        (unprintable, None),
    ]


def test_what_ends_a_program_passes_through_a_repr():
    class Ends:
        def __repr__(self):
            raise KeyboardInterrupt

    configure(handlers=[MEMORY])
    with pytest.raises(KeyboardInterrupt):
        get_logger("app").info("x", it=Ends())


def test_a_value_that_contains_itself_comes_to_an_end():
    configure(handlers=[MEMORY])
    loop: list = [1]
    loop.append(loop)
    deep: dict = {}
    deep["deep"] = deep
    get_logger("app").info("x", loop=loop, deep=deep)
    text = json.dumps(records()[0].fields)
    assert text.count("deep") == 9
    assert len(text) < 200


def test_a_record_of_a_hundred_megabytes_is_cut_and_says_so(path):
    configure(handlers=[to_file(path, format="json")])
    large = "x" * 100_000_000
    began = time.monotonic()
    get_logger("app").info(large, more=large, list=[large] * 10, many=list(range(1_000_000)))
    assert flush(timeout=30)
    assert time.monotonic() - began < 10
    assert path.stat().st_size < 2 * 256 * 1024
    [record] = map(json.loads, path.read_text().splitlines())
    cut = f"… [cut: {100_000_000 - 256 * 1024} of 100000000 characters]"
    assert record["message"] == "x" * 256 * 1024 + cut
    assert record["fields"]["more"] == "… [cut: 100000000 of 100000000 characters]"
    assert record["fields"]["many"] == ["… [cut: 1000000 of 1000000 items]"]


def test_ten_thousand_threads_at_once_lose_nothing(programs):
    programs.write(
        "many.py",
        """
        import json, resource, sys, threading
        from lineshaft.logging import configure, flush, get_logger, status

        THREADS, EACH = 10_000, 10

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        def work(number):
            get_logger(f"app.{number}").info(f"{number} 0 " + "x" * 100)
            together.wait()
            begin.wait()
            for each in range(1, EACH):
                get_logger(f"app.{number}").info(f"{number} {each} " + "x" * 100)

        configure(handlers=[{"kind": "file", "path": "app.log", "format": "{message}"}], buffer_records=500)
        threading.stack_size(256 * 1024)
        together, begin = threading.Barrier(THREADS + 1), threading.Event()
        threads = []
        for number in range(THREADS):
            thread = threading.Thread(target=work, args=(number,), daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError) as error:
                print(json.dumps({"refused": f"{error} after {number} of them"}), flush=True)
                sys.exit(0)
            threads.append(thread)
        together.wait()
        alive, before = sum(thread.is_alive() for thread in threads), peak()
        begin.set()
        for thread in threads:
            thread.join()
        is_flushed = flush(timeout=120)
        grown = peak() - before
        print(json.dumps({"alive": alive, "flushed": is_flushed, "grown": grown, "dropped": status().dropped}))
        """,
    )
    ended = programs.run("many.py", timeout=500)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    if "refused" in found:
        pytest.skip(f"this machine has no room for 10,000 threads: {found['refused']}")
    assert (found["alive"], found["flushed"], found["dropped"]) == (10_000, True, 0)
    # Of 100,000 records of some 500 bytes 500 wait in the ring and 16 MiB before the file.
    assert found["grown"] < 64 * 1024
    lines = (programs.directory / "app.log").read_text().splitlines()
    assert sorted(lines) == sorted(f"{number} {each} " + "x" * 100 for number in range(10_000) for each in range(10))
    by_thread: dict[str, list[int]] = {}
    for line in lines:
        number, each, _ = line.split()
        by_thread.setdefault(number, []).append(int(each))
    assert all(each == list(range(10)) for each in by_thread.values())


def test_what_does_not_fit_is_dropped_counted_and_said():
    let_go = threading.Event()
    configure(
        handlers=[{"kind": "callable", "call": lambda record: let_go.wait(60), "name": "slow"}, MEMORY],
        when_full="drop_new",
        buffer_records=10,
    )
    for number in range(50_000):
        get_logger("app").info(str(number))
    let_go.set()
    assert flush(timeout=30)
    get_logger("app").info("last")
    found = records()
    dropped = status().dropped
    assert dropped > 0
    assert dropped == sum(record.fields["count"] for record in found if "were dropped" in record.message)
    assert len([record for record in found if record.logger == "app"]) == 50_001 - dropped


def test_a_fork_in_the_middle_writes_each_record_once(path):
    configure(handlers=[to_file(path), MEMORY])
    stop = threading.Event()

    def chatter():
        number = 0
        while not stop.is_set():
            get_logger("chatter").info(f"chatter {number}")
            number += 1

    chatting = threading.Thread(target=chatter)
    chatting.start()
    children = []
    for number in range(5):
        get_logger("app").info(f"before {number}")
        pid = os.fork()
        if pid == 0:
            status_code = 1
            try:
                get_logger("app").info(f"child {number}")
                status_code = 0 if flush(timeout=20) else 2
            finally:
                os._exit(status_code)
        children.append(pid)
        get_logger("app").info(f"after {number}")
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    stop.set()
    chatting.join()
    assert flush(timeout=20)
    assert codes == [0] * 5
    lines = path.read_text().splitlines()
    for number in range(5):
        for when in ("before", "child", "after"):
            assert lines.count(f"{when} {number}") == 1
    chatter_lines = [line for line in lines if line.startswith("chatter")]
    assert chatter_lines == [f"chatter {number}" for number in range(len(chatter_lines))]


def test_processes_of_multiprocessing_write_what_they_logged(programs):
    programs.write(
        "many.py",
        """
        import multiprocessing
        from lineshaft.logging import configure, get_logger

        def work(number):
            get_logger("app").info(f"child {number}")

        if __name__ == "__main__":
            configure(handlers=[{"kind": "file", "path": "app.log", "format": "{message}"}])
            get_logger("app").info("parent")
            processes = [multiprocessing.get_context("fork").Process(target=work, args=(n,)) for n in range(4)]
            for process in processes:
                process.start()
            for process in processes:
                process.join()
            print(sorted(open("app.log").read().splitlines()))
        """,
    )
    ended = programs.run("many.py")
    assert ended.stdout == "['child 0', 'child 1', 'child 2', 'child 3', 'parent']\n", ended.stderr


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_processes_of_multiprocessing_that_log_first_write_all_of_it(programs, method):
    programs.write(
        "first.py",
        f"""
        import multiprocessing
        from lineshaft.logging import configure, get_logger

        def work():
            configure(handlers=[{{"kind": "file", "path": "app.log", "format": "{{message}}"}}])
            for number in range(100):
                get_logger("app").info(f"{{number}}")

        if __name__ == "__main__":
            process = multiprocessing.get_context("{method}").Process(target=work)
            process.start()
            process.join()
            print(len(open("app.log").read().splitlines()))
        """,
    )
    ended = programs.run("first.py")
    assert ended.stdout == "100\n", ended.stderr


def test_a_handler_that_flushes_does_not_wait_for_itself(path):
    flushed = []
    configure(handlers=[lambda record: flushed.append(flush()), MEMORY])
    get_logger("app").info("x")
    assert flush(timeout=20)
    assert flushed == [False]


def test_names_that_are_no_text_are_written_all_the_same(path):
    def work():
        get_logger("app").info("x")
        logging.getLogger("a\udc80").warning("y")

    configure(handlers=[to_file(path)], capture_stdlib=True)
    try:
        thread = threading.Thread(target=work, name="t\udc80")
        thread.start()
        thread.join()
        assert flush(timeout=20)
    finally:
        configure(handlers=[], capture_stdlib=False)
    assert path.read_text() == "x\ny\n"


def test_a_message_of_an_odd_class_is_written(path):
    class Odd(str):
        def __mod__(self, _args: object) -> object:
            return 5

    class Says:
        def __str__(self) -> str:
            return Odd("odd")

    configure(handlers=[to_file(path)])
    get_logger("app").info(Says(), 1)
    assert flush(timeout=20)
    assert path.read_text() == "5\n"


def test_a_class_that_cannot_be_told_is_hidden(path):
    class Proxy:
        @property
        def __class__(self):
            raise RuntimeError("outside of a request")

    configure(handlers=[to_file(path, format="{fields}")], redact_types=[Path])
    get_logger("app").info("x", proxy=Proxy())
    assert flush(timeout=20)
    assert path.read_text() == "proxy=***\n"


def test_no_field_comes_twice(path):
    configure(handlers=[to_file(path, format="json")])
    get_logger("app").info("x", extra={"a": 1}, a=2)
    assert flush(timeout=20)
    assert '"fields":{"a":2}' in path.read_text()


def test_a_handler_that_cannot_be_opened_again_does_not_raise_at_who_logs(tmp_path, capfd):
    (tmp_path / "logs").mkdir()
    configure(handlers=[to_file(tmp_path / "logs" / "app.log")])
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            (tmp_path / "logs" / "app.log").unlink()
            (tmp_path / "logs").rmdir()
            (tmp_path / "logs").write_text("in the way")
            get_logger("app").info("x")
            get_logger("app").info("y")
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert capfd.readouterr().err.count("log records are lost") == 1


def test_nothing_is_left_that_a_terminal_obeys(path):
    configure(handlers=[to_file(path, format="text")])
    get_logger("app").info("\x1b[2Jgone\r\nfake info line", user="\x9b31m\u202e")
    flush()
    [line] = path.read_text().splitlines()
    assert line.endswith(r"\x1b[2Jgone\r\nfake info line  user=\x9b31m\u202e")


def test_last_records_are_written_when_the_interpreter_ends(programs):
    programs.write(
        "end.py",
        """
        import atexit, threading, time
        from lineshaft.logging import configure, get_logger

        log = get_logger("app")
        atexit.register(lambda: log.info("registered before"))
        configure(handlers=[{"kind": "file", "path": "app.log", "format": "{message}"}])

        class Last:
            def __del__(self, log=log):
                log.info("deleted")

        last = Last()
        def late():
            time.sleep(0.2)
            log.info("from a thread")
        threading.Thread(target=late).start()
        for number in range(1000):
            log.info(str(number))
        """,
    )
    ended = programs.run("end.py")
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = (programs.directory / "app.log").read_text().splitlines()
    assert lines == [*map(str, range(1_000)), "from a thread", "registered before", "deleted"]


def test_a_handler_that_hangs_does_not_hang_the_end(programs):
    programs.write(
        "hang.py",
        """
        import time
        from lineshaft.logging import configure, get_logger

        configure(handlers=[lambda record: time.sleep(3600), {"kind": "file", "path": "app.log"}])
        get_logger("app").info("x")
        """,
    )
    began = time.monotonic()
    ended = programs.run("hang.py")
    assert ended.returncode == 0, ended.stderr
    assert time.monotonic() - began < 20
    assert "x" in (programs.directory / "app.log").read_text()


def test_without_a_configuration_warnings_go_to_standard_error(programs):
    programs.write(
        "plain.py",
        """
        import lineshaft

        log = lineshaft.get_logger("app")
        log.info("not heard")
        log.warning("heard", user="ada")
        """,
    )
    ended = programs.run("plain.py")
    assert ended.stderr.endswith(" warning  app  heard  user=ada\n")
    assert ended.stderr.count("\n") == 1


def test_a_full_disk_is_tried_again_and_said(path, capfd):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        configure(handlers=[to_file(path)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_005, hard))
        for number in range(100):
            get_logger("app").info("%099d", number)
        assert not flush(timeout=0.3)
        assert not status().handlers[0].is_healthy
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert flush(timeout=20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    whole = [line for line in path.read_text().splitlines() if len(line) == 99]
    assert whole == [f"{number:099d}" for number in range(100)]
    said = capfd.readouterr().err
    assert said.count("File too large") == 1
    assert "works again" in said


def test_another_configuration_while_threads_log_loses_nothing(tmp_path):
    stop = threading.Event()
    counts = [0] * 4

    def work(number):
        while not stop.is_set():
            get_logger("app").info(f"{number} {counts[number]}")
            counts[number] += 1

    paths = [tmp_path / f"{number}.log" for number in range(10)]
    configure(handlers=[to_file(paths[0])])
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for path in paths[1:]:
        time.sleep(0.02)
        configure(handlers=[to_file(path)])
    stop.set()
    for thread in threads:
        thread.join()
    assert flush(timeout=30)
    lines = [line for path in paths for line in path.read_text().splitlines()]
    for number in range(4):
        mine = [line for line in lines if line.startswith(f"{number} ")]
        assert mine == [f"{number} {each}" for each in range(counts[number])]


def test_several_processes_write_one_file_in_whole_lines(programs):
    programs.write(
        "one.py",
        """
        import sys
        from lineshaft.logging import configure, get_logger

        configure(handlers=[{"kind": "file", "path": "app.log", "format": "{message}"}])
        for number in range(5000):
            get_logger("app").info(f"{sys.argv[1]} {number} " + sys.argv[1] * 200)
        """,
    )
    started = [programs.start("one.py", each) for each in "abcd"]
    for process in started:
        assert process.communicate(timeout=60) == ("", "")
        assert process.returncode == 0
    lines = (programs.directory / "app.log").read_text().splitlines()
    for each in "abcd":
        mine = [line for line in lines if line.startswith(f"{each} ")]
        assert mine == [f"{each} {number} " + each * 200 for number in range(5_000)]
    assert len(lines) == 20_000


def test_processes_that_are_forked_amid_rotations_hold_up_nobody(programs):
    """A child has its parent's open files, and with them their locks, as long as nobody unlocks those."""
    programs.write(
        "rotating.py",
        """
        import os, threading, time
        from lineshaft.logging import configure, flush, get_logger

        log = get_logger("app")
        handler = {"kind": "file", "path": "app.log", "format": "{message}", "rotate_size": "50KiB", "keep": 300}
        configure(handlers=[handler])
        is_over = False

        def chatter():
            while not is_over:
                for _ in range(50):
                    log.info("chatter")
                time.sleep(0.001)

        threads = [threading.Thread(target=chatter) for _ in range(4)]
        for thread in threads:
            thread.start()
        children = []
        for number in range(20):
            pid = os.fork()
            if pid == 0:
                for line in range(500):
                    log.info(f"child {number} {line}")
                os._exit(0 if flush(timeout=60) else 1)
            children.append(pid)
            time.sleep(0.02)
        codes = {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children}
        is_over = True
        for thread in threads:
            thread.join()
        assert flush(timeout=60)
        print(codes)
        """,
    )
    ended = programs.run("-W", "ignore::DeprecationWarning", "rotating.py", timeout=180)
    assert (ended.returncode, ended.stdout) == (0, "{0}\n"), ended.stderr
    lines = [line for path in programs.directory.glob("app.log*") for line in path.read_text().splitlines()]
    expected = {f"child {number} {line}" for number in range(20) for line in range(500)}
    assert sorted(line for line in lines if line.startswith("child")) == sorted(expected)


ENDS = """
    import threading
    import time

    import lineshaft
    from lineshaft.logging import configure

    configure(level="info", handlers=[{"kind": "memory"}])

    class Slow:
        def __repr__(self):
            return "".join(str(number) for number in range(50))

    def logs():
        log, slow = lineshaft.get_logger("a"), Slow()
        while True:
            log.info("x", a=slow)

    for _ in range(4):
        threading.Thread(target=logs, daemon=True).start()
    time.sleep(0.1)
"""


def test_what_goes_at_the_very_end_of_the_interpreter_may_log(programs):
    """The first record of its thread, and one with an exception: no module can be imported any more."""
    programs.write(
        "last.py",
        """
        import lineshaft
        from lineshaft.logging import configure

        log = lineshaft.get_logger("shop")
        configure(handlers=[{"kind": "file", "path": "last.log", "format": "{message}"}])

        class Late:
            def __del__(self, log=log):
                log.warning("going", of=self)
                try:
                    1 / 0
                except ZeroDivisionError:
                    log.exception("and failing")

        late = Late()
        """,
    )
    ended = programs.run("last.py")
    assert (ended.returncode, ended.stderr) == (0, "")
    text = (programs.directory / "last.log").read_text()
    assert "going" in text
    assert "and failing" in text
    assert "ZeroDivisionError" in text


@pytest.mark.parametrize("kind", ["Pool(2)", "Pool(2, context=spawn)", "Executor(2)"])
def test_what_processes_of_a_pool_log_is_written_before_it_ends_them(programs, kind):
    programs.write(
        "pooled.py",
        f"""
        import multiprocessing
        import lineshaft
        from lineshaft import Executor, Pool
        from lineshaft.logging import configure

        configure(level="info", handlers=[{{"kind": "file", "path": "pooled.log", "format": "{{message}}"}}])
        spawn = multiprocessing.get_context("spawn")

        def work(number):
            lineshaft.get_logger("shop").info(f"did {{number}}")

        if __name__ == "__main__":
            with {kind} as pool:
                list(pool.map(work, range(100)))
        """,
    )
    ended = programs.run("pooled.py")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert len((programs.directory / "pooled.log").read_text().splitlines()) == 100


def test_the_interpreter_ends_while_threads_log(programs):
    """A thread was ended within a `__repr__`, below Rust, which aborted the process."""
    programs.write("ends.py", ENDS)
    for _ in range(3):
        ended = programs.run("ends.py")
        assert (ended.returncode, ended.stderr) == (0, "")


def test_a_handler_that_hangs_is_waited_for_once_when_the_interpreter_ends(programs):
    """Each of the records that came after the end began waited for a second."""
    programs.write(
        "late.py",
        """
        import atexit, socket, time
        from lineshaft.logging import configure, get_logger

        server = socket.create_server(("127.0.0.1", 0))  # takes connections and never answers
        log = get_logger("app")

        def late():
            for number in range(100):
                log.info(f"late {number}")

        atexit.register(late)
        configure(handlers=[{"kind": "http", "url": f"http://127.0.0.1:{server.getsockname()[1]}/", "timeout": "60s"},
                            {"kind": "file", "path": "app.log", "format": "{message}"}])
        log.info("x")
        """,
    )
    began = time.monotonic()
    ended = programs.run("late.py")
    assert ended.returncode == 0, ended.stderr
    assert time.monotonic() - began < 50
    lines = (programs.directory / "app.log").read_text().splitlines()
    assert lines == ["x", *(f"late {number}" for number in range(100))]


def test_a_rotation_that_fails_is_said_once(path, capfd):
    """Nothing was written any more, and each try deleted a file that is kept."""
    configure(handlers=[to_file(path, rotate_size=100, keep=2, compress="gzip")])
    path.with_name("app.log.1.gz.part").mkdir()
    path.with_name("app.log.2.gz").write_text("kept")
    for number in range(100):
        get_logger("app").info(f"{number}")
        flush()
    assert path.read_text().splitlines() == [str(number) for number in range(100)]
    assert path.with_name("app.log.2.gz").read_text() == "kept"
    assert capfd.readouterr().err.count("cannot be rotated") == 1


def test_a_full_pipe_that_nobody_reads_does_not_hang_the_end(programs):
    """What was not written was said there, too, by who ended the program."""
    programs.write(
        "unread.py",
        """
        from lineshaft.logging import configure, get_logger

        configure(handlers=[{"kind": "console", "format": "{message}"}])
        for number in range(5_000):
            get_logger("app").info("x" * 15)  # of which a page is full to its last byte
        print("done", flush=True)
        """,
    )
    process = programs.start("unread.py")
    try:
        assert process.stdout.readline() == "done\n"
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.communicate()


def test_secrets_under_names_of_bytes_and_in_keys_are_hidden(path):
    configure(handlers=[to_file(path, format="json")])
    scope = {"headers": [(b"x-vault-token", b"S3CRET"), (b"accept", b"*/*")]}
    get_logger("app").info("x", scope=scope, reply={b"token": b"S3CRET", b"auth": b"S3CRET"})
    get_logger("app").info("%s", [(b"x-vault-token", b"S3CRET")])
    get_logger("app").info("x", pools={"postgres://ada:S3CRET@db/shop": 5}, extra={b"otp": "S3CRET"})
    flush()
    assert "S3CRET" not in path.read_text()
    assert "*/*" in path.read_text()


@pytest.mark.parametrize("way", ["extra", "keywords", "bound", "other"])
def test_names_of_fields_and_many_fields_are_cut(path, way):
    """They counted for nothing."""
    configure(handlers=[to_file(path, format="json")])
    long, many = {"k" * 100_000_000: 1}, {f"n{number}": number for number in range(1_000_000)}
    log, said = get_logger("app"), "x" * 300_000
    if way == "extra":
        log.info("long", extra=long)
        log.info("many", extra=many)
    elif way == "keywords":
        log.info("long", **long)
        log.info("many", **many)
    elif way == "bound":
        log.bind(**long).info("long")
        log.bind(**many).info("many")
    else:
        log.info("long", extra={key.encode(): value for key, value in long.items()})
        log.info("many", extra={key.encode(): value for key, value in many.items()})
    log.info(said, user="ada", number=7)
    assert flush(timeout=30)
    assert path.stat().st_size < 2 << 20
    first, second, third = (json.loads(line) for line in path.read_text().splitlines())
    ((name, value),) = first["fields"].items()
    assert ("characters]" in name, value) == (True, 1)
    assert len(name) < 2_000
    assert 1_000 < len(second["fields"]) < 20_000
    left_out = 1_000_000 - (len(second["fields"]) - 1)
    assert second["fields"]["…"] == f"[cut: {left_out} of 1000000 items]"
    assert third["fields"]["number"] == 7, "a few are there in any case"


@pytest.mark.parametrize("kind", ["handler", "filter", "format"])
def test_what_functions_raise_is_said_without_secrets(path, capfd, monkeypatch, kind):
    import sys

    class Told:
        write, flush = sys.stderr.write, sys.stderr.flush

    def odd(record):
        raise ValueError("no answer of postgres://ada:swordfish@db")

    monkeypatch.setattr(sys, "__stderr__", Told)
    if kind == "handler":
        configure(handlers=[odd])
    elif kind == "filter":
        configure(handlers=[to_file(path)], filters=[odd])
    else:
        configure(handlers=[to_file(path, format=odd)])
    get_logger("app").info("x")
    flush(timeout=10)
    said = capfd.readouterr().err
    assert "no answer of postgres://ada:***@db" in said
    assert "swordfish" not in said


def test_a_handler_that_hangs_is_waited_for_by_one_fork(path):
    """Each of them waited for a second."""
    let_go = threading.Event()
    configure(handlers=[to_file(path), {"kind": "callable", "call": lambda record: let_go.wait(60), "name": "hangs"}])
    get_logger("app").info("x")
    began = time.monotonic()
    for _ in range(8):
        get_logger("app").info("y")
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        Handler().flush()
    assert time.monotonic() - began < 6
    assert len(path.read_text().splitlines()) == 9
    assert not status().handlers[1].is_healthy
    let_go.set()
    assert flush(timeout=30)
    assert status().handlers[1].is_healthy


@pytest.mark.parametrize(
    "call",
    [
        'logging.getLogger("a").info("x", extra={"a": slow})',
        'lineshaft.get_logger("a").bind(a=slow)',
        "context(a=slow).__enter__()",
    ],
)
def test_the_interpreter_ends_while_threads_log_by_other_ways(programs, call):
    """As above."""
    text = ENDS.replace('log.info("x", a=slow)', call).replace("import threading", "import logging, threading")
    text = text.replace("import configure\n", "import configure, context\n").replace("}]", "}], capture_stdlib=True")
    programs.write("ends.py", text)
    for _ in range(3):
        ended = programs.run("ends.py")
        assert (ended.returncode, ended.stderr) == (0, "")
