"""A rolling deploy of three versions of an app, with real servers, workers and producers: every job runs once, in a
worker that understands it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from support.processes import Program, Stage, until

HEAD = """
import enum, os
from dataclasses import dataclass
import lineshaft
from lineshaft import App, current

VERSION = {version}
app = App(os.environ["KILLS_HOME"])

def note(what):
    with open(os.environ["KILLS_EFFECTS"], "a") as effects:
        effects.write(f"{{current.job.id}} {{VERSION}} {{what}}\\n")
"""

TAIL = """
if __name__ == "__main__":
    for number in range(5):
        for job in app.enqueue_many(calls(number)):
            print(job.id)
"""

FIRST = """
@dataclass
class Order:
    item: str
    note: str = ""

class Colour(enum.Enum):
    RED = 1

@app.task(name="shop.send")
def send(to: str) -> None:
    note(to)

@app.task(name="shop.place")
def place(order: Order) -> None:
    note(f"{order.item} 1")

@app.task(name="shop.paint")
def paint(colour: Colour) -> None:
    note(colour.name)

@app.task(name="shop.bill")
def bill(amount: int) -> None:
    note(amount)

def calls(number):
    return send.si("ada"), place.si(Order("hat", "soon")), paint.si(Colour.RED), bill.si(number)
"""

# A field with a default, a member, a wider number; a parameter with a default, and so a version.
SECOND = """
@dataclass
class Order:
    item: str
    note: str = ""
    count: int = 1

class Colour(enum.Enum):
    RED = 1
    BLUE = 2

@app.task(name="shop.send", version=2)
def send(to: str, urgent: bool = False) -> None:
    note(f"{to} {urgent}")

@app.task(name="shop.place")
def place(order: Order) -> None:
    note(f"{order.item} {order.count}")

@app.task(name="shop.paint")
def paint(colour: Colour) -> None:
    note(colour.name)

@app.task(name="shop.bill")
def bill(amount: float) -> None:
    note(amount)

def calls(number):
    return send.si("bob", True), place.si(Order("hat", "soon", 2)), paint.si(Colour.BLUE), bill.si(number + 0.5)
"""

# A class and a field renamed, a field gone, a task renamed; and a version that does not take what the first one sent.
THIRD = """
@lineshaft.value(aliases=["shop.Order"], renamed={"item": "article"}, removed=["note"])
@dataclass
class Purchase:
    article: str
    count: int = 1

class Colour(enum.Enum):
    RED = 1
    BLUE = 2

@app.task(name="shop.send", version=3, from_version=2)
def send(to: str, urgent: bool, *, subject: str = "-") -> None:
    note(f"{to} {urgent} {subject}")

@app.task(name="shop.place")
def place(order: Purchase) -> None:
    note(f"{order.article} {order.count}")

@app.task(name="shop.colour", aliases=["shop.paint"])
def colour(colour: Colour) -> None:
    note(colour.name)

@app.task(name="shop.bill")
def bill(amount: float) -> None:
    note(amount)

def calls(number):
    return send.si("eve", False, subject="hi"), place.si(Purchase("hat", 3)), colour.si(Colour.BLUE), bill.si(0.5)
"""

BODIES = {1: FIRST, 2: SECOND, 3: THIRD}
TASKS = {
    1: ("shop.send", "shop.place", "shop.paint", "shop.bill"),
    3: ("shop.send", "shop.place", "shop.colour", "shop.bill"),
}


class Shop(Stage):
    """A stage with three versions of an app."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[str, tuple[int, str]] = {}
        for version, body in BODIES.items():
            directory = self.directory / f"v{version}"
            directory.mkdir()
            (directory / "shop.py").write_text(HEAD.format(version=version) + body + TAIL)

    def target(self, version: int) -> str:
        return str(self.directory / f"v{version}" / "shop.py")

    def enqueue(self, version: int) -> dict[str, list[str]]:
        """A program of this version makes five jobs of each task."""
        program = self.start(f"enqueue-v{version}", self.target(version))
        assert program.exit_code() == 0, program.text()
        jobs = [line for line in program.text().splitlines() if len(line) == 36]
        tasks = TASKS[3 if version == 3 else 1]
        self.made |= {job: (version, tasks[at % 4]) for at, job in enumerate(jobs)}
        return {task: jobs[at::4] for at, task in enumerate(tasks)}

    def begin(self, version: int) -> Program:
        return self.worker(target=self.target(version), processes=1)

    def show(self, job: str) -> dict[str, object]:
        shown: dict[str, object] = json.loads(self.run("job", "show", job, "--json").stdout)
        return shown

    def until_ended(self, *groups: list[str]) -> None:
        ended = self.run("job", "wait", *(job for group in groups for job in group), "--timeout", "50s")
        assert ended.returncode == 0, ended.stdout + ended.stderr

    def until_waits(self, job: str, reason: str) -> None:
        """It is available, has used no attempt, and says why it waits."""

        def waits() -> dict[str, object] | None:
            shown = self.show(job)
            return shown if reason in str(shown["waits_for"]) else None

        shown = until(waits, f"the job waits for {reason}: {self.show(job)}")
        assert (shown["state"], shown["attempt"], shown["attempts"]) == ("available", 0, [])

    def status(self) -> dict[str, list[dict[str, object]]]:
        status: dict[str, list[dict[str, object]]] = json.loads(self.run("status", "--json").stdout)
        return status

    def ran(self) -> dict[str, tuple[int, str]]:
        """By job the version of the worker that ran it, and what it saw. Each job ran once."""
        lines = self.effects.read_text().splitlines()
        assert max(Counter(line.split()[0] for line in lines).values()) == 1
        return {job: (int(version), what) for job, version, what in (line.split(" ", 2) for line in lines)}


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.close()


def test_three_versions_of_an_app_follow_each_other_and_every_job_runs_once(shop):
    shop.server()
    first = shop.begin(1)
    jobs = shop.enqueue(1)
    shop.until_ended(*jobs.values())

    # A program of the second version makes jobs while only a worker of the first one runs.
    jobs = shop.enqueue(2)
    shop.until_waits(jobs["shop.send"][0], "no worker knows shop.send v2 in queue default, only v1")
    shop.until_waits(jobs["shop.place"][0], "a worker that knows shop.Order.count: ")
    shop.until_waits(jobs["shop.paint"][0], "a worker that knows shop.Colour.BLUE: ")
    shop.until_ended(jobs["shop.bill"])
    status = shop.status()
    assert status["unknown_tasks"] == ["shop.send v2"]
    assert {"task": "shop.send", "version": 2, "unfinished": 5} in status["tasks"]
    second = shop.begin(2)
    shop.until_ended(*jobs.values())

    # Both run for a while, and programs of both versions make jobs.
    both = [*shop.enqueue(1).values(), *shop.enqueue(2).values()]
    assert first.terminate() == 0
    shop.until_ended(*both, *shop.enqueue(1).values())

    # The third version does not take what programs of the first one send.
    third = shop.begin(3)
    assert second.terminate() == 0
    old, jobs, new = shop.enqueue(1), shop.enqueue(2), shop.enqueue(3)
    shop.until_ended(*jobs.values(), *new.values(), old["shop.place"], old["shop.paint"], old["shop.bill"])
    shop.until_waits(old["shop.send"][0], "no worker knows shop.send in queue default, only v2-3")
    diff = shop.run("schema", "diff", shop.target(1), shop.target(3))
    assert "5 unfinished jobs of shop.send v1 would wait for a worker that knows v1\n" in diff.stdout
    again = shop.begin(1)
    shop.until_ended(old["shop.send"])
    assert again.terminate() == 0
    assert third.terminate() == 0

    listed = json.loads(shop.run("job", "list", "--limit", "1000", "--json").stdout)["jobs"]
    assert {job["id"]: (job["version"], job["task"]) for job in listed}.keys() == shop.made.keys()
    assert {job["state"] for job in listed} == {"completed"}
    ran = shop.ran()
    assert ran.keys() == shop.made.keys()
    for job, (made_by, task) in shop.made.items():
        ran_by, what = ran[job]
        if task == "shop.send":
            assert ran_by in {1: (1, 2), 2: (2, 3), 3: (3,)}[made_by]
            assert (
                what
                == {1: ("ada", "ada False"), 2: ("bob True", "bob True -"), 3: ("eve False hi",)}[made_by][
                    ran_by - made_by
                ]
            )
        elif task == "shop.place":
            assert what == f"hat {made_by}"
            assert made_by == 1 or ran_by > 1
        elif task in ("shop.paint", "shop.colour"):
            assert what == ("RED" if made_by == 1 else "BLUE")
            assert made_by == 1 or ran_by > 1


def test_an_app_is_compared_with_what_the_workers_run(shop):
    shop.server()
    unknown = shop.run("schema", "diff", shop.target(2))
    assert unknown.returncode == 6
    assert "no worker of the home says what its tasks take" in unknown.stderr
    first = shop.begin(1)
    until(lambda: shop.run("schema", "show").returncode == 0, "the worker says what it runs")
    shown = json.loads(shop.run("schema", "show", "--json").stdout)
    assert shown == json.loads(shop.run("schema", "show", shop.target(1), "--json").stdout)
    assert shop.run("schema", "diff", shop.target(1)).returncode == 0
    diff = shop.run("schema", "diff", shop.target(2))
    assert "shop.send: version raised from 1 to 2" in diff.stdout
    shop.begin(2)
    # Of each task the latest version counts.
    until(lambda: shop.run("schema", "diff", shop.target(2)).stdout == "", "the second one does, too")
    assert first.terminate() == 0


def test_jobs_of_every_version_are_found_by_the_name_of_their_task(shop):
    shop.server()
    first, second = shop.enqueue(1)["shop.send"], shop.enqueue(2)["shop.send"]

    def listed(task: str) -> set[str]:
        return {job["id"] for job in json.loads(shop.run("job", "list", "--task", task, "--json").stdout)["jobs"]}

    assert listed("shop.send") == {*first, *second}
    assert listed("shop.send v2") == {*second}
    worker = shop.begin(2)
    shop.until_ended(first, second)
    assert worker.terminate() == 0
    assert listed("shop.send") == {*first, *second}
    assert listed("shop.send v2") == {*second}


def test_a_job_of_an_earlier_version_is_given_to_whoever_runs_it_only(shop):
    shop.server()
    jobs = shop.enqueue(1)["shop.send"]
    third = shop.begin(3)
    shop.until_waits(jobs[0], "only v2-3")
    second = shop.begin(2)
    shop.until_ended(jobs)
    assert {ran_by for job, (ran_by, _) in shop.ran().items() if job in jobs} == {2}
    assert second.terminate() == 0
    assert third.terminate() == 0
