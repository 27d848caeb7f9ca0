"""Measures every Python file of a directory, one durable job per file, and loses none of them.

    python codebase_report.py                    # the standard library, and some broken files
    python codebase_report.py ~/src/project      # any directory

A job parses one file. What does not parse ends as a dead letter with its reason; in the middle a worker process is
killed, and its job runs again. A last job joins the results into report.md and report.html. At the end every job of
the ledger, which was written when the jobs were made, is looked up: the exit code is 1 if one is lost.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from codebase.find import BROKEN, python_files, standard_library
from codebase.ledger import Audit, Entry, audit, read_ledger, write_ledger
from codebase.measure import Measures, measure_file, printable
from codebase.progress import Progress
from codebase.report import DeadLetter, Findings, write_pages
from codebase.sabotage import Sabotage
from lineshaft import App, Job, LineshaftError, Retry, TaskError, TaskFailed

app = App()

UNREADABLE = (SyntaxError, ValueError, RecursionError, PermissionError, FileNotFoundError)
"""Another attempt would not make these files any better."""


@app.task(retries=Retry(max=2, never=UNREADABLE), timeout="2m")
def measure(path: str, label: str) -> Measures:
    """Parses one file and counts what is in it."""
    return measure_file(path, label)


@app.task(retries=2)
def write_report(title: str, ledger: str, folder: str, ends: Audit) -> list[str]:
    """Joins the results of all jobs in the ledger; gives the paths of the pages."""
    findings = Findings(title, ends)
    labels = {app.job(entry.id): entry.label for entry in read_ledger(Path(ledger))}
    for job in app.as_completed(labels):
        try:
            findings.measures.append(job.result())
        except TaskError as error:
            findings.dead.append(DeadLetter(labels[job], job.id, reason_of(error)))
    return write_pages(findings, Path(folder))


def reason_of(error: TaskError) -> str:
    """Why a file could not be measured, in one line."""
    if isinstance(error, TaskFailed) and error.types:
        return f"{error.types[0].removeprefix('builtins.')}: {error.message}"
    return str(error).partition("\n")[0]


class File(NamedTuple):
    """A file to measure, and what the report calls it."""

    path: str
    label: str


def files_of(directory: Path | None) -> list[File]:
    """The files of `directory`; without one those of the standard library and the broken ones."""
    if directory is not None:
        return _files_under(directory.absolute(), "")
    return _files_under(standard_library(), "") + _files_under(BROKEN, "broken/")


def _files_under(root: Path, prefix: str) -> list[File]:
    return [File(path, prefix + printable(os.path.relpath(path, root))) for path in python_files(root)]


def enqueue(files: list[File], ledger: Path) -> dict[Job[Measures], str]:
    """Makes the jobs and writes them down."""
    jobs = measure.enqueue_many(measure.si(file.path, file.label) for file in files)
    write_ledger(ledger, (Entry(job.id, file.label) for job, file in zip(jobs, files, strict=True)))
    return {job: file.label for job, file in zip(jobs, files, strict=True)}


def follow(labels: dict[Job[Measures], str], sabotage: Sabotage) -> None:
    """Shows how the jobs come to their ends, and lets `sabotage` do its work."""
    progress = Progress("measured", len(labels))
    for job in app.as_completed(labels):
        progress.step()
        news = sabotage.saw_end(job, labels[job], _process_of(job))
        if news is not None:
            progress.say(news)
    progress.close(sabotage.last_word())


def _process_of(job: Job[Measures]) -> int | None:
    try:
        return job.result().process
    except TaskError:
        return None


def run(arguments: argparse.Namespace) -> int:
    """The whole of it; gives the exit code."""
    files = files_of(arguments.directory)
    if not files:
        return _refuse(f"no .py files in {arguments.directory}")
    output: Path = arguments.output
    home = fresh_home(output)
    ledger = output / "ledger.jsonl"
    started = time.monotonic()
    with app.workers(arguments.processes):
        labels = enqueue(files, ledger)
        print(f"{len(labels):,} jobs are durable in {home}", file=sys.stderr)
        follow(labels, Sabotage(None if arguments.no_kill else len(labels) // 2))
        ends = audit(app.url, read_ledger(ledger))
        pages = write_report.enqueue(_title(arguments.directory), str(ledger), str(output), ends).result()
    seconds = time.monotonic() - started
    return conclude(ends, pages, home, seconds)


def fresh_home(output: Path) -> Path:
    """A home of this run's own; those of earlier runs are removed."""
    output.mkdir(parents=True, exist_ok=True)
    for old in output.glob("home-*"):
        if (old / "FORMAT").is_file():
            _remove_home(old)
    home = Path(tempfile.mkdtemp(prefix="home-", dir=output))
    os.environ["LINESHAFT_URL"] = str(home)  # before the first call, which is what looks for a home
    return home


def _remove_home(home: Path) -> None:
    stop = [sys.executable, "-m", "lineshaft", "stop", "--home", str(home)]
    subprocess.run(stop, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shutil.rmtree(home, ignore_errors=True)


def _title(directory: Path | None) -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    return f"The standard library of Python {version}" if directory is None else printable(directory)


def conclude(ends: Audit, pages: list[str], home: Path, seconds: float) -> int:
    """Prints where the report is and what the run came to; gives the exit code."""
    for lost in ends.lost:
        print(f"lost: {lost}", file=sys.stderr)
    for page in pages:
        print(page)
    if ends.discarded:
        print(f"dead letters: {_command()} job list --state discarded --home {shlex.quote(str(home))}")
    print(
        f"files={ends.enqueued} seconds={seconds:.2f} jobs_per_s={ends.enqueued / seconds:.0f} "
        f"rerun={ends.rerun} lost={len(ends.lost)}"
    )
    return 1 if ends.lost else 0


def _command() -> str:
    """How this interpreter's `lineshaft` is called from here."""
    beside = Path(sys.executable).with_name("lineshaft")
    return "lineshaft" if shutil.which("lineshaft") or not beside.exists() else shlex.quote(os.path.relpath(beside))


def _refuse(what: str) -> int:
    print(f"codebase_report: {what}", file=sys.stderr)
    return 2


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="codebase_report", description=__doc__.partition("\n")[0])
    parser.add_argument("directory", nargs="?", type=Path, help="default: the standard library and some broken files")
    parser.add_argument("--output", type=Path, default=Path("lineshaft-demo"), help="default: ./lineshaft-demo")
    parser.add_argument("--processes", type=int, help="worker processes; default: one per core")
    parser.add_argument("--no-kill", action="store_true", help="kill no worker process in the middle")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """The program."""
    arguments = _arguments(words)
    if arguments.directory is not None and not arguments.directory.is_dir():
        return _refuse(f"{arguments.directory} is not a directory")
    arguments.output = arguments.output.resolve()
    try:
        return run(arguments)
    except KeyboardInterrupt:
        print("\nstopped; jobs that have not ended stay in the home", file=sys.stderr)
        return 130
    except (LineshaftError, OSError) as error:
        return _refuse(str(error))


if __name__ == "__main__":
    sys.exit(main())
