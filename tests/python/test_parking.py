"""Jobs that name something which a worker does not know: a type, a field, a member of an enum."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

import pytest

from support.processes import Program, Stage, until

NEW = """
import enum, os
from dataclasses import dataclass
from lineshaft import App

app = App(os.environ["KILLS_HOME"])

@dataclass
class Order:
    item: str

@dataclass
class Size:
    width: int
    height: int

class Colour(enum.Enum):
    RED = 1
    GREEN = 2

@app.task
def place(order: Order) -> str:
    return order.item

@app.task
def measure(size: Size) -> int:
    return size.width * size.height

@app.task
def paint(colour: Colour) -> str:
    return colour.name

if __name__ == "__main__":
    for job in (place.enqueue(Order("hat")), measure.enqueue(Size(2, 3)), paint.enqueue(Colour.GREEN)):
        print(job.id)
"""

OLD = """
import enum, os
from dataclasses import dataclass
from lineshaft import App

app = App(os.environ["KILLS_HOME"])

@dataclass
class Purchase:  # what was an Order
    item: str

@dataclass
class Size:
    width: int

class Colour(enum.Enum):
    RED = 1

@app.task
def place(order: Purchase):
    raise AssertionError("it must not run")

@app.task
def measure(size: Size):
    raise AssertionError("it must not run")

@app.task
def paint(colour: Colour):
    raise AssertionError("it must not run")
"""

RENAMED = (
    NEW.replace("@dataclass\nclass Order", '@lineshaft.value(aliases=["workshop.Order"])\n@dataclass\nclass Purchase')
    .replace("order: Order", "order: Purchase")
    .replace("from lineshaft", "import lineshaft\nfrom lineshaft")
)

MISSING = ("workshop.Order", "workshop.Size.height", "workshop.Colour.GREEN")


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    for version, text in (("new", NEW), ("old", OLD), ("renamed", RENAMED)):
        (stage.directory / version).mkdir()
        (stage.directory / version / "workshop.py").write_text(text)
    yield stage
    stage.close()


def target(stage: Stage, version: str) -> str:
    return str(stage.directory / version / "workshop.py")


def enqueue(stage: Stage, version: str = "new") -> list[str]:
    program = stage.start("enqueue", target(stage, version))
    assert program.exit_code() == 0, program.text()
    return [line for line in program.text().splitlines() if len(line) == 36]


def record(stage: Stage, job: str) -> dict[str, object]:
    shown: dict[str, object] = json.loads(stage.run("job", "show", job, "--json").stdout)
    return shown


def parked(stage: Stage, job: str) -> dict[str, object] | None:
    shown = record(stage, job)
    return shown if str(shown["waits_for"]).startswith("a worker that knows") else None


def until_parked(stage: Stage, jobs: list[str], worker: Program) -> None:
    """Each says what it waits for: what is missing, and the worker that lacks it."""
    for job, missing in zip(jobs, MISSING, strict=True):
        shown = until(partial(parked, stage, job), "the job is parked")
        begins, _, ends = str(shown["waits_for"]).partition(missing)
        assert (begins, ends.partition(":")[0]) == ("a worker that knows ", ""), shown
        assert ends.endswith(f":{worker.pid} does not"), shown
        assert (shown["state"], shown["attempt"], shown["attempts"]) == ("available", 0, [])


def test_jobs_that_an_old_worker_does_not_know_wait_for_a_new_one(stage):
    server = stage.server()
    jobs = enqueue(stage)
    old = stage.worker(target=target(stage, "old"))
    until_parked(stage, jobs, old)
    assert "PARKED" in stage.run("queue", "list").stdout
    assert json.loads(stage.run("status", "--json").stdout)["queues"][0]["parked"] == 3
    server.kill()
    stage.server()
    until_parked(stage, jobs, old)
    stage.worker(target=target(stage, "new"))
    for job in jobs:
        until(lambda job=job: record(stage, job)["state"] == "completed", "the new worker runs it")
        assert [attempt["outcome"] for attempt in record(stage, job)["attempts"]] == ["succeeded"]


def test_retry_of_a_parked_job_offers_it_again(stage):
    stage.server()
    jobs = enqueue(stage)
    old = stage.worker(target=target(stage, "old"), processes=1)
    until_parked(stage, jobs, old)
    assert stage.run("job", "retry", jobs[0]).returncode == 0
    until_parked(stage, jobs, old)
    assert old.terminate() == 0
    stage.worker(target=target(stage, "renamed"), processes=1)
    until(lambda: record(stage, jobs[0])["state"] == "completed", "a worker that knows the old name runs it")


VERSIONS = """
import os
from lineshaft import App, Pickled

app = App(os.environ["KILLS_HOME"], accept_pickle={version} > 2)

@app.task(name="shop.send", version={version})
def send(to: str{more}) -> str:
    return "sent by version {version}"

if __name__ == "__main__":
    print(send.enqueue("ada"{given}).id)
"""


def test_a_job_of_a_later_version_of_its_task_waits_for_a_worker_that_has_it(stage):
    """A worker of before ran it, or discarded it because its arguments did not fit or could not be read."""
    for version, more, given in (
        (1, "", ""),
        (3, ", *, html: Pickled[bool]", ", html=Pickled(True)"),
        (4, ", *, html: Pickled[bool] | None = None", ""),
    ):
        directory = stage.directory / f"v{version}"
        directory.mkdir()
        (directory / "workshop.py").write_text(VERSIONS.format(version=version, more=more, given=given))
    stage.server()
    (job,) = enqueue(stage, "v3")
    stage.worker(target=target(stage, "v1"), processes=1)
    what = "a worker: no worker knows shop.send v3 in queue default, only v1"
    until(lambda: record(stage, job)["waits_for"] == what, "the old worker leaves it alone")
    shown = record(stage, job)
    assert (shown["state"], shown["attempt"], shown["attempts"]) == ("available", 0, [])
    stage.worker(target=target(stage, "v4"), processes=1)
    until(lambda: record(stage, job)["state"] == "completed", "a worker with a later version runs it")
    assert stage.run("job", "result", job).stdout.strip() == "'sent by version 4'"


def test_a_worker_with_a_later_version_runs_jobs_of_before(stage):
    for version in (1, 2):
        (stage.directory / f"v{version}").mkdir()
        text = VERSIONS.format(version=version, more="", given="")
        (stage.directory / f"v{version}" / "workshop.py").write_text(text)
    stage.server()
    (job,) = enqueue(stage, "v1")
    stage.worker(target=target(stage, "v2"), processes=1)
    until(lambda: record(stage, job)["state"] == "completed", "the later version runs it")
