"""Whether somebody is there to run the jobs: script mode, and the word to those who wait in vain.

A program whose app is defined in `__main__` is a *script*: if no worker is connected when it first waits, it runs
workers of its own. Elsewhere nothing starts by itself; a wait without a worker says so after two seconds.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from . import _native
from ._errors import LineshaftError
from ._names import canonical_module, main_file
from ._reasons import NO_WORKER, Reason, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._app import App
    from ._job import Job
    from ._workers import Block, Crew
    from .testing._threads import Threads

__all__ = ["Attendance"]


class Attendance:
    """Who runs the jobs of an app, as far as this process knows."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._script = main_file() if app._module == "__main__" else None
        self._names_what_waits = app._module == "__main__" or is_typed()
        self._looked = False
        self._own: Crew | Threads | None = None
        self._made = 0
        self._minded_by = 0
        self.given_up = False
        """The last wait was broken off by Ctrl-C or the like: nobody waits for what runs."""
        self.blocks: list[Block] = []
        if app._module == "__main__" and self._script is None:
            from ._local import joined

            joined(app)

    def enqueued(self, ids: bytes) -> None:
        """Remembers that this process made these jobs."""
        if not self._made and self._names_what_waits:
            self.mind_exit()
        self._made += len(ids) // 16
        for block in self.blocks:
            block.ids += ids

    def ensure(self, job: Job[Any]) -> None:
        """Before a wait: a script without a worker starts its own, a session without a file has slots of its own."""
        self._ensure_local()
        if self._needs_look():
            self._decide(self._app._connection.ask(lambda client: client.status(), lambda status: status), job)

    async def aensure(self, job: Job[Any]) -> None:
        """`ensure` for coroutines."""
        self._ensure_local()
        if self._needs_look():
            self._decide(await self._app._connection.aask(lambda client: client.status(), lambda status: status), job)

    def look(self, job: Job[Any]) -> _native.JobRecord | None:
        """What the server knows of a job; None if it does not say soon."""
        try:
            return self._app._connection.ask(lambda client: client.show(job._key, aside=LOOK_S), job._seen).record
        except LineshaftError:  # the wait is not over because of that
            return None

    async def alook(self, job: Job[Any]) -> _native.JobRecord | None:
        """`look` for coroutines."""
        try:
            connection = self._app._connection
            return (await connection.aask(lambda client: client.show(job._key, aside=LOOK_S), job._seen)).record
        except LineshaftError:
            return None

    def complain(self, job: Job[Any], record: _native.JobRecord | None, said: set[str]) -> None:
        """During a long wait: says what the job waits for, each reason once; `said` are those that were said."""
        reason = None if record is None else self.reason_of(record)
        if reason is None or reason.is_its_turn or reason.key in said:
            return
        said.add(reason.key)
        has_own = self._own is not None or bool(self.blocks)
        if has_own and reason.key == NO_WORKER:
            said.discard(reason.key)
            return  # they are about to be: the server or they have just started
        if not has_own and self._script is not None and "worker" in reason.key:
            self._start_own()
            return
        import logging

        fix = "" if reason.fix is None else f"; {reason.fix}"
        logging.getLogger("lineshaft").warning("job %s (%s) waits: %s%s", job.id, job.task, reason.words, fix)

    def reason_of(self, record: _native.JobRecord) -> Reason | None:
        """What a job waits for; None if it runs or has ended."""
        return reason_of(record, self.command + self._unless_imported(record.task))

    def _unless_imported(self, name: str) -> str:
        """What to know of a task that lives elsewhere than its app: a worker imports the app's module."""
        task = self._app._declared.get(name)
        home = canonical_module(self._app._module)
        module = home if task is None else canonical_module(task.function.__module__)
        if module == home or self._script is not None:
            return ""
        return f" (it imports {home}, which has to import {module}: app.include({module!r}) does)"

    def check(self) -> None:
        """Raises `WorkerFailed` if the workers of this process have ended by themselves."""
        for crew in (self._own, *(block.crew for block in self.blocks)):
            if crew is not None:
                crew.check()

    def end(self) -> None:
        """Ends the workers that started by themselves; a later wait starts new ones."""
        own, self._own, self._looked = self._own, None, False
        if own is not None:
            own.end()

    def mind_exit(self) -> None:
        """At the end of the process, the workers of a script end and what is left to do is named."""
        process = os.getpid()
        if self._minded_by != process:
            import atexit

            self._minded_by = process
            atexit.register(self._at_exit, process)

    @property
    def is_interrupted(self) -> bool:
        """Whether this process was told to end while it waited: nobody wants what still runs."""
        return self.given_up or issubclass(getattr(sys, "last_type", Exception), KeyboardInterrupt)

    @property
    def command(self) -> str:
        """The command that starts a worker for this app."""
        import shlex

        if self._script is None:
            return f"lineshaft worker {canonical_module(self._app._module)}"
        path = os.path.relpath(self._script)
        is_target = path.endswith(".py") or os.sep in path
        return f"lineshaft worker {shlex.quote(path if is_target else os.path.join(os.curdir, path))}"

    def _ensure_local(self) -> None:
        if main_file() is None:
            from ._local import ensure_for

            ensure_for(self._app)

    def _needs_look(self) -> bool:
        if self._looked or self.blocks or (self._script is None and self._app._connection.engine is None):
            return False
        self._looked = True
        return True

    def _decide(self, status: _native.Status, job: Job[Any]) -> None:
        if not _is_served(status, job):
            self._start_own()

    def _start_own(self) -> None:
        engine = self._app._connection.engine
        if engine is not None:
            self._own = engine.work(self)
            self._own.start()
            return
        from ._settings import worker_settings
        from ._workers import Crew

        # Whatever queues its workers serve elsewhere, a script waits for the jobs that it made.
        self.mind_exit()
        settings = worker_settings(self._app)
        most = settings.processes
        self._own = Crew(
            self._app,
            most=most,
            start_with=1,
            queues=(),
            grace_s=SCRIPT_GRACE_S,
            slots=settings.slots,
            recycle=settings.recycle,
            watchdog_s=settings.watchdog_s,
        )
        _say(
            f"no worker is connected, so this script runs its own: 1 process now, up to {most} "
            f"(they end with it; `{self.command}` runs one that stays)"
        )
        self._own.start()

    def _at_exit(self, process: int) -> None:
        """Ends the workers of a script, and names what is left to do."""
        if os.getpid() != process:
            return  # a forked child: neither the workers nor the script are its own
        own = self._own
        if own is not None:
            quietly(lambda: own.end(given_up=self.is_interrupted))
        if self._app._connection.is_open:
            quietly(self._name_waiting_jobs)

    def _name_waiting_jobs(self) -> None:
        status = self._app._connection.ask(lambda client: client.status(aside=LOOK_S), lambda status: status)
        others = [worker for worker in status.workers if worker[0] != os.getpid()]
        if others or not sum(status.waiting):
            return
        own = [name for name in status.unknown_tasks if name in self._app._declared]
        if own == status.unknown_tasks:
            self._say_what_waits(sum(status.waiting), own, "it" if sum(status.waiting) == 1 else "them")
        elif own or any(status.waiting[1:]):
            self._say_what_waits(sum(status.waiting), status.unknown_tasks, ", ".join(own[:3]) or "those of this app")

    def _say_what_waits(self, count: int, tasks: list[str], which: str) -> None:
        jobs = "1 job waits" if count == 1 else f"{count:,} jobs wait"
        names = f" ({', '.join(tasks[:3])})" if tasks else ""
        fix = f"{'' if self._own is None else 'the next run of this script or '}`{self.command}` runs {which}"
        if self._app._module == "__main__" and self._script is None:
            fix = (
                "tasks without a source file run while the same program waits for a result; "
                "`lineshaft worker FILE.py` runs those of a file"
            )
        _say(f"{jobs}{names} in {self._app.url}; {fix}")


def is_typed() -> bool:
    """Whether the program is `python -c`, standard input or an interactive session, so that somebody reads its end."""
    return main_file() is None and sys.argv[:1] in (["-c"], ["-"], [""])


LOOK_S = 1.0
"""How long the server may take to say why a job waits."""
SCRIPT_GRACE_S = 5.0
"""What running attempts get when their script ends; afterwards they are killed, and run again another time."""


def quietly(action: Callable[[], object]) -> None:
    """For the end of the process, when nobody can act on an error any more."""
    try:
        action()
    except (Exception, KeyboardInterrupt):
        return  # the server may be gone by now, and the program ends already


def _is_served(status: _native.Status, job: Job[Any]) -> bool:
    queue = None if job._snapshot is None else job._snapshot.queue
    return any(
        (job.task is None or job.task in tasks) and (queue is None or not queues or queue in queues)
        for _, tasks, queues in status.workers
    )


def _say(text: str) -> None:
    print(f"lineshaft: {text}", file=sys.stderr, flush=True)
