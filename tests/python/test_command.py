"""What the command shows of jobs that workers ran."""

from __future__ import annotations

import json
import signal

import pytest

APP = """
    import dataclasses
    import os
    from lineshaft import App, Cancel

    app = App()

    @dataclasses.dataclass
    class Order:
        id: int
        items: list[str]

    @app.task(name="order")
    def order() -> Order:
        return Order(7, ["a", "b"])

    @app.task(name="print", retries=1)
    def prints() -> None:
        from lineshaft import current
        print("this is attempt", current.attempt)
        if current.attempt == 1:
            raise ValueError("first")

    @app.task(name="tell", queue="owners", priority=1)
    def tell(job) -> None: ...

    @app.task(name="charge", delivery="at_most_once", queue="money", tags=["eu"], timeout="30s", on_failure=tell,
              result=False, expires="1h", priority="high", unique="args", aliases=["bill"])
    def charge(card: str) -> None:
        os.kill(os.getpid(), 9)

    @app.task(name="give_up")
    def give_up() -> None:
        raise Cancel("no\\x1b[2J\\nway")
"""


@pytest.fixture
def shop(programs):
    """An app with a worker."""
    programs.write("shop.py", APP)
    (programs.directory / "lineshaft.toml").write_text('[tasks.charge]\npriority = "low"\n')
    worker = programs.start("-m", "lineshaft", "worker", "shop.py", "--processes", "1")
    yield programs
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=60)


def lineshaft(shop, *words: str):
    return shop.run("-m", "lineshaft", *words)


def test_a_value_of_a_type_that_only_the_app_knows_shows_its_fields(shop):
    made = lineshaft(shop, "enqueue", "order", "--wait")
    assert (made.returncode, made.stdout) == (0, "Order(id=7, items=['a', 'b'])\n"), made.stderr
    document = json.loads(lineshaft(shop, "enqueue", "order", "--wait", "--json").stdout)
    assert document == {"$type": "shop.Order", "id": 7, "items": ["a", "b"]}


def test_the_output_of_a_job_is_followed_over_its_attempts(shop):
    job = lineshaft(shop, "enqueue", "print", "--retries", "1").stdout.strip()
    followed = lineshaft(shop, "job", "output", job, "--follow")
    assert (followed.returncode, followed.stdout) == (0, "this is attempt 1\nthis is attempt 2\n"), followed.stderr
    lines = lineshaft(shop, "job", "output", job, "--jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"number": 1, "output": "this is attempt 1\n"},
        {"number": 2, "output": "this is attempt 2\n"},
    ]
    assert lineshaft(shop, "job", "output", job, "--attempt", "2").stdout == "this is attempt 2\n"
    assert lineshaft(shop, "job", "output", job, "--attempt", "3").returncode == 6


def test_what_a_task_says_does_not_move_the_cursor(shop):
    """The reason of a cancelled job used to reach the terminal as it was, escape sequences included."""
    failed = lineshaft(shop, "enqueue", "give_up", "--wait")
    assert failed.returncode == 5
    job = failed.stderr.split()[1]
    shown = lineshaft(shop, "job", "show", job)
    listed = lineshaft(shop, "job", "list")
    for words in (failed.stderr, shown.stdout, listed.stdout):
        assert "\x1b" not in words
        assert "no\\x1b[2J" in words
    assert len(listed.stdout.splitlines()) == 2


def test_waiting_ends_with_the_state_of_the_jobs(shop):
    jobs = [lineshaft(shop, "enqueue", task).stdout.strip() for task in ("order", "give_up")]
    good = lineshaft(shop, "job", "wait", jobs[0])
    assert (good.returncode, good.stdout) == (0, f"{jobs[0]} completed\n")
    both = lineshaft(shop, "job", "wait", *jobs, "--timeout", "60s")
    assert both.returncode == 5
    assert sorted(both.stdout.split()) == sorted([jobs[0], "completed", jobs[1], "cancelled"])


def test_jobs_are_made_as_their_task_declares_once_a_worker_has_said_so(shop):
    """`delivery="at_most_once"` counted for nothing on the command line: a card was charged three times."""
    lineshaft(shop, "job", "wait", lineshaft(shop, "enqueue", "order").stdout.strip())  # a worker is there
    made = lineshaft(shop, "enqueue", "charge", '"4242"')
    assert (
        "charge has a unique key that its program computes from the arguments: here it is --unique KEY" in made.stderr
    )
    lineshaft(shop, "job", "wait", made.stdout.strip())
    job = json.loads(lineshaft(shop, "job", "show", "--json", made.stdout.strip()).stdout)
    declared = {"queue": "money", "priority": 8, "tags": ["eu"], "max_attempts": 1, "reason": "maybe_ran"}
    assert {name: job[name] for name in declared} == declared, "the priority is that of the project's file"
    assert len(job["attempts"]) == 1
    told = json.loads(lineshaft(shop, "job", "list", "--json", "--task", "tell").stdout)["jobs"]
    assert [(job["queue"], job["priority"]) for job in told] == [("owners", 1)]

    words = ("--queue", "other", "--priority", "4", "--retries", "2", "--delivery", "at_least_once", "--tag", "us")
    made = lineshaft(shop, "enqueue", "bill", '"4242"', *words, "--on-failure", "none", "--unique", "k")
    assert "unique" not in made.stderr
    lineshaft(shop, "job", "wait", made.stdout.strip())
    job = json.loads(lineshaft(shop, "job", "show", "--json", made.stdout.strip()).stdout)
    given = {"queue": "other", "priority": 4, "tags": ["us"], "max_attempts": 3, "reason": "crashes"}
    assert {name: job[name] for name in given} == given
    told = json.loads(lineshaft(shop, "job", "list", "--json", "--task", "tell").stdout)["jobs"]
    assert len(told) == 1
