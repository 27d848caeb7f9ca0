"""Calls that block: other threads go on, signals are heard, and an interrupted wait leaves its job as it is."""

from __future__ import annotations

DECLARE = """
    import os, signal, threading, time
    from lineshaft import App

    app = App()

    @app.task
    def until_written(path: str) -> str:
        while not os.path.exists(path):
            time.sleep(0.01)
        return "read"

    def write() -> None:
        open("file", "w").close()
"""


def check_prints(programs, main: str, expected: str) -> None:
    programs.write("app.py", DECLARE + '\n    if __name__ == "__main__":' + main)
    ended = programs.run("app.py")
    assert ended.stdout == expected, ended.stderr


def test_other_threads_run_while_one_waits(programs):
    """The job ends only when another thread of the waiting program has done something."""
    main = """
        job = until_written.enqueue("file")
        threading.Timer(0.5, write).start()
        print(job.result(50))
    """
    check_prints(programs, main, "read\n")


def test_a_handler_of_signals_runs_while_its_thread_waits(programs):
    """The job ends only when the handler has run, and that can only run in the thread that waits."""
    main = """
        signal.signal(signal.SIGALRM, lambda *_: write())
        job = until_written.enqueue("file")
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        print(job.result(50))
    """
    check_prints(programs, main, "read\n")


def test_an_exception_of_a_handler_ends_a_wait_and_leaves_the_job_running(programs):
    main = """
        def began(job):
            while job.refresh().state != "running":
                time.sleep(0.01)

        with app.workers(1):
            job = until_written.enqueue("file")
            began(job)
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                job.result(50)
            except KeyboardInterrupt:
                print(job.refresh().state)
            write()
            print(job.result(50), [attempt.outcome for attempt in job.attempts()])
    """
    check_prints(programs, main, "running\nread ['succeeded']\n")


def test_every_other_blocking_call_hears_signals_too(programs):
    """Here the server does not answer, being stopped in its tracks."""
    main = """
        import json, subprocess, sys

        first = until_written.enqueue("file")
        shown = subprocess.run([sys.executable, "-m", "lineshaft", "status", "--json"], capture_output=True, check=True)
        server = json.loads(shown.stdout)["pid"]
        os.kill(server, signal.SIGSTOP)
        try:
            for call in (first.refresh, lambda: until_written.enqueue("file"), lambda: list(app.as_completed([first]))):
                threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
                try:
                    call()
                except KeyboardInterrupt:
                    print("interrupted")
        finally:
            os.kill(server, signal.SIGCONT)
    """
    check_prints(programs, main, "interrupted\n" * 3)
