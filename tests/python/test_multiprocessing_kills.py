"""Queues whose processes are killed, that are forked at a bad time, or that have no shared memory."""

from __future__ import annotations

import gc
import os
import re
import signal
from pathlib import Path

import pytest

from lineshaft import multiprocessing
from queue_works import echo, get_for_ever, keep_what_was_got, put_for_ever, say_and_get
from support.processes import is_alive, kill, stat_of, until

LONG_S = 60.0
ROUNDS = 20


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def context(request):
    return multiprocessing.get_context(request.param)


def killed(process):
    process.kill()
    process.join(LONG_S)
    assert process.exitcode == -signal.SIGKILL


def until_it_sleeps(pid):
    """`get` sleeps on a word of shared memory."""
    until(lambda: stat_of(pid)[0] == "S", "it waits")


def test_a_consumer_that_dies_in_get_takes_nothing_along(context):
    queue, said = context.Queue(), context.Queue()
    for number in range(3):
        consumer = context.Process(target=say_and_get, args=(said, queue))
        consumer.start()
        until_it_sleeps(said.get(timeout=LONG_S))
        killed(consumer)
        queue.put(number)
        assert queue.get(timeout=LONG_S) == number


def test_others_go_on_when_one_of_the_consumers_dies_anywhere():
    context = multiprocessing.get_context("fork")
    queue, others = context.Queue(maxsize=100), context.Queue()
    consumers = [context.Process(target=get_for_ever, args=(queue, others)) for _ in range(2)]
    for consumer in consumers:
        consumer.start()
    put = 0
    for _ in range(ROUNDS):
        put += queue.put_many(range(put, put + 200), timeout=LONG_S)
        killed(consumers.pop(0))
        consumers.append(context.Process(target=get_for_ever, args=(queue, others)))
        consumers[-1].start()
    until(queue.empty, "all are got")
    # What was got, and not yet passed on by one that was killed, is gone with it.
    until(lambda: others.qsize() >= put - ROUNDS, "all are passed on")
    for consumer in consumers:
        killed(consumer)
    numbers = [number for _, number in others.get_many(100_000)]
    while not others.empty():
        numbers += [number for _, number in others.get_many(100_000)]
    assert len(numbers) == len(set(numbers)) >= put - ROUNDS - len(consumers)


@pytest.mark.parametrize("text", ["small", "large" * 50_000], ids=["small", "large"])
def test_a_putter_that_dies_in_put_has_put_it_as_a_whole_or_not_at_all(text):
    context = multiprocessing.get_context("fork")
    queue = context.Queue(maxsize=10)
    for _ in range(ROUNDS):
        putter = context.Process(target=put_for_ever, args=(queue, text))
        putter.start()
        got = [queue.get(timeout=LONG_S) for _ in range(30)]
        killed(putter)
        while not queue.empty():
            got.append(queue.get(timeout=LONG_S))
        assert got == [(number, text) for number in range(len(got))]


def test_memory_that_the_dead_had_is_used_again(context):
    queue, said = context.Queue(), context.Queue()
    for _ in range(3):
        holder = context.Process(target=keep_what_was_got, args=(queue, said))
        holder.start()
        queue.put(memoryview(bytes(400 << 20)), timeout=LONG_S)
        assert said.get(timeout=LONG_S) == 400 << 20
        killed(holder)


def test_nothing_is_left_when_the_parent_is_killed(programs):
    programs.write(
        "parent.py",
        """
        import os, sys, time
        from lineshaft.multiprocessing import Queue, get_context

        def child(said, queue):
            said.put(os.getpid())
            queue.get()

        if __name__ == "__main__":
            context = get_context(sys.argv[1])
            said, queue = context.Queue(), context.Queue()
            queue.put_many([b"small", b"large" * 100_000])
            queue.get_many()
            children = [context.Process(target=child, args=(said, queue)) for _ in range(2)]
            for process in children:
                process.start()
            print(said.get(), said.get(), flush=True)
            time.sleep(3600)
        """,
    )
    before = shared_memory()
    for method in ("fork", "spawn"):
        parent = programs.start("parent.py", method)
        children = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
        assert parent.wait(LONG_S) == -signal.SIGKILL
        assert all(map(is_alive, children))
        kill(children)
        parent.communicate(timeout=LONG_S)
        until(lambda: not any(map(is_alive, children)), "the children are dead")  # noqa: B023
        assert shared_memory() <= before


def shared_memory():
    """What is in memory by a name of ours, also of other programs."""
    return {name for name in os.listdir("/dev/shm") if "lineshaft" in name}


def held():
    """Descriptors and mappings of this process that are segments."""
    gc.collect()
    links = []
    for entry in os.scandir("/proc/self/fd"):
        try:
            links.append(os.readlink(entry.path))
        except FileNotFoundError:  # that of the listing itself
            continue
    fds = sum("memfd:lineshaft" in link for link in links)
    return fds, Path("/proc/self/maps").read_text().count("memfd:lineshaft"), len(links)


def test_a_queue_that_is_gone_leaves_no_descriptor_and_no_memory(context):
    def use():
        queue = context.Queue()
        queue.put(memoryview(bytes(100_000)))
        queue.get()
        process = context.Process(target=echo, args=(queue, queue))
        process.start()
        queue.shutdown()
        process.join(LONG_S)
        assert process.exitcode == 0
        process.close()

    use()  # what is only opened once, such as the fork server
    before = held()
    for _ in range(5):
        use()
    assert held() == before


def test_a_queue_is_used_after_a_fork_amid_other_threads(programs):
    programs.write(
        "forks.py",
        """
        import asyncio, os, threading
        from lineshaft.multiprocessing import Queue

        questions, answers = Queue(), Queue()

        async def ask():
            return await questions.aget()

        def wait_in_a_loop():
            answers.put(asyncio.run(ask()))

        threads = [threading.Thread(target=lambda: answers.put(questions.get())) for _ in range(3)]
        threads += [threading.Thread(target=wait_in_a_loop) for _ in range(3)]
        for thread in threads:
            thread.start()
        children = []
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                # As its parent's threads did, which are none of its own.
                answers.put(asyncio.run(ask()))
                answers.put(questions.get())
                os._exit(0)
            children.append(pid)
        questions.put_many(range(12))
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        for thread in threads:
            thread.join()
        print(codes, sorted(answers.get_many(12)))
        """,
    )
    ended = programs.run("-W", "ignore::DeprecationWarning", "forks.py")
    assert (ended.returncode, ended.stdout) == (0, f"[0, 0, 0] {list(range(12))}\n"), ended.stderr


@pytest.mark.parametrize("wait", ["queue.get()", "queue.join()", "queue.get_many()", "full.put(2)"])
def test_daemon_threads_that_wait_do_not_keep_the_interpreter(programs, wait):
    programs.write(
        "daemon.py",
        f"""
        import threading
        from lineshaft.multiprocessing import Queue

        queue, full, began = Queue(), Queue(maxsize=1), threading.Barrier(5)
        full.put(1)

        def wait():
            began.wait()
            if {wait.startswith("queue.join")}:
                queue.put(1)
            {wait}

        for _ in range(4):
            threading.Thread(target=wait, daemon=True).start()
        began.wait()
        print("ends")
        """,
    )
    for _ in range(5):
        ended = programs.run("daemon.py")
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "ends\n", "")


REFUSED = """
    # Lets the kernel refuse memory without a name, as a sandbox may.
    import ctypes, platform, struct, sys

    def instruction(code, yes, no, value):
        return struct.pack("HBBI", code, yes, no, value)

    number = {"x86_64": 319, "aarch64": 279}[platform.machine()]
    program = instruction(0x20, 0, 0, 0) + instruction(0x15, 0, 1, number)
    program += instruction(0x06, 0, 0, 0x00050000 | 28) + instruction(0x06, 0, 0, 0x7FFF0000)
    buffer = ctypes.create_string_buffer(program)

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    refusal = Filter(4, ctypes.addressof(buffer))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(refusal), 0, 0):
        sys.exit(77)
"""


def test_without_shared_memory_it_lies_in_a_file_and_says_so(programs):
    programs.write("refused.py", REFUSED)
    programs.write(
        "files.py",
        """
        import refused
        from lineshaft.multiprocessing import Process, Queue

        def answer(questions, answers):
            for question in questions:
                answers.put(question)

        if __name__ == "__main__":
            questions, answers = Queue(), Queue(maxsize=3)
            process = Process(target=answer, args=(questions, answers))
            process.start()
            questions.put_many([1, b"large" * 100_000])
            print(answers.get(), len(answers.get()))
            questions.shutdown()
            process.join()
            print(process.exitcode)
        """,
    )
    ended = programs.run("files.py", TMPDIR=str(programs.directory))
    if ended.returncode == 77:
        pytest.skip("no filter of system calls here")
    assert (ended.returncode, ended.stdout) == (0, "1 500000\n0\n"), ended.stderr
    said = re.findall(r"RuntimeWarning: (.*)", ended.stderr)
    assert said == [f"the system gives no shared memory: this queue lies in files of {programs.directory}"] * 1
    assert sorted(path.name for path in programs.directory.glob("*") if path.is_file()) == ["files.py", "refused.py"]
