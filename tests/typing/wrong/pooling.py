"""What a pool of jobs does not take: functions that are no tasks, items that do not fit, options of other pools."""

from __future__ import annotations

from lineshaft import App

app = App("home")


@app.task
def square(x: int) -> int:
    return x * x


def plain(x: int) -> int:
    return x


def note(values: list[str]) -> None: ...


with app.pool() as pool:
    pool.apply(plain, (1,))  # error: mypy[arg-type] pyright[reportArgumentType]
    pool.map(plain, [1])  # error: mypy[arg-type] pyright[reportArgumentType]
    pool.map(square, ["x"])  # error: mypy[misc] pyright[reportArgumentType]
    pool.imap(plain, [1])  # error: mypy[arg-type] pyright[reportArgumentType]
    pool.imap_unordered(square, ["x"])  # error: mypy[misc] pyright[reportArgumentType]
    pool.starmap(plain, [(1,)])  # error: mypy[arg-type] pyright[reportArgumentType]
    pool.map_async(square, [1], callback=note)  # error: mypy[arg-type] pyright[reportArgumentType]
    wrong: list[str] = pool.map(square, [1])  # error: mypy[arg-type] pyright[reportAssignmentType]

app.pool(processes=4)  # error: mypy[call-arg] pyright[reportCallIssue]
app.pool(ahead="1")  # error: mypy[arg-type] pyright[reportArgumentType]
