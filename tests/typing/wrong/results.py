"""Results used as something else than the task returns are errors."""

from __future__ import annotations

from lineshaft import App, AsyncJob, AsyncTask, Job, Task

app = App("home")


@app.task
def add(a: int, b: int) -> int:
    return a + b


@app.task
def find(text: str) -> int | None:
    return len(text) or None


@app.task
def log(text: str) -> None: ...


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


def results() -> None:
    text: str = add.enqueue(1, 2).result()  # error: mypy[assignment] pyright[reportAssignmentType]
    job: Job[str] = add.enqueue(1, 2)  # error: mypy[assignment] pyright[reportAssignmentType]
    number: int = find.enqueue("x").result()  # error: mypy[assignment] pyright[reportAssignmentType]
    find.enqueue("x").result() + 1  # error: mypy[operator] pyright[reportOptionalOperand]
    body: str = fetch.enqueue("u").result()  # error: mypy[assignment] pyright[reportAssignmentType]
    twin: AsyncJob[int] = add.enqueue(1, 2)  # error: mypy[assignment] pyright[reportAssignmentType]
    now: str = add(1, 2)  # error: mypy[assignment] pyright[reportAssignmentType]
    length: int = fetch("u")  # error: mypy[assignment] pyright[reportAssignmentType]
    jobs: list[Job[str]] = add.enqueue_many([add.si(1, 2)])  # error: mypy[assignment] pyright[reportAssignmentType]
    print(text, job, number, body, twin, now, length, jobs)


def handles() -> None:
    add.enqueue(1, 2).results()  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]
    add.enqueue(1, 2).state = "done"  # error: mypy[misc] pyright[reportAttributeAccessIssue]
    add.enqueue(1, 2).result(timeout=object())  # error: mypy[call-overload] pyright[reportArgumentType]
    add.enqueue(1, 2).result("1m", 3)  # error: mypy[call-overload] pyright[reportCallIssue]
    app.job(7)  # error: mypy[arg-type] pyright[reportArgumentType]
    for job in app.as_completed([add.enqueue(1, 2)]):
        text: str = job.result()  # error: mypy[assignment] pyright[reportAssignmentType]
        print(text)
    app.as_completed([1])  # error: mypy[type-var] pyright[reportArgumentType]


async def awaits() -> None:
    await add.enqueue(1, 2)  # error: mypy[misc] pyright[reportGeneralTypeIssues]
    text: str = await add.aenqueue(1, 2)  # error: mypy[assignment] pyright[reportAssignmentType]
    made: bytes = await (await add.aenqueue(1, 2))  # error: mypy[assignment] pyright[reportAssignmentType]
    body: str = await (await fetch.aenqueue("u"))  # error: mypy[assignment] pyright[reportAssignmentType]
    add.aenqueue(1, 2).result()  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]
    many = [await add.aenqueue(1, 2)]
    for job in app.aas_completed(many):  # error: mypy[attr-defined] pyright[reportGeneralTypeIssues]
        print(job)
    print(text, made, body)


def tasks() -> None:
    other: Task[[str, int], int] = add  # error: mypy[assignment] pyright[reportAssignmentType]
    result: Task[[int, int], str] = add  # error: mypy[assignment] pyright[reportAssignmentType]
    kind: AsyncTask[[int, int], int] = add  # error: mypy[assignment] pyright[reportAssignmentType]
    sync: Task[[str], bytes] = fetch  # error: mypy[assignment] pyright[reportAssignmentType]
    add.enqueu(1, 2)  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]
    add.name = 3  # error: mypy[assignment] pyright[reportAttributeAccessIssue]
    print(other, result, kind, sync)
