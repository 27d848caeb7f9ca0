"""Workers as copies of a process that has imported what they need.

A template is a process of its own that imports and then does nothing but fork, with one thread, on request. So a worker
that ends is replaced in milliseconds, and what was imported is in memory once. Only libraries that are known to stand
it are imported there; all others are by the workers. The server is that of `multiprocessing`'s start method
`forkserver`, but its environment is another one, so that numerical libraries use as many threads as they shall, and the
main module is not imported: what its functions need goes along with them.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import weakref
from multiprocessing import popen_forkserver, process, reduction, resource_tracker, spawn, util
from multiprocessing.context import set_spawning_popen
from multiprocessing.forkserver import read_signed
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from multiprocessing.process import BaseProcess

__all__ = ["Template", "template_for"]

_LIBRARIES = frozenset({"joblib", "numpy", "pandas", "scipy", "sklearn"})
"""They start no threads when they are imported, or end them before a fork."""
_OURS = ("lineshaft._joblib._backend", "lineshaft._pool._worker")
_all: weakref.WeakSet[Template] = weakref.WeakSet()
_SERVE = """
import shutil
from multiprocessing.forkserver import main
try:
    main({listener}, {alive}, {modules})
finally:
    shutil.rmtree({folder!r}, ignore_errors=True)
"""


class Template:
    """A process that forks workers. It is started by the first of them and ends with this object.

    Only it can tell how a worker ended, so whoever has workers keeps it.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self._lock = threading.Lock()
        self._modules: tuple[str, ...] = _OURS
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = ""
        """Where its socket is, which nobody else may enter."""
        self._alive = -1
        """The process ends when nobody has this descriptor any more."""
        _all.add(self)

    def learn(self, modules: Iterable[str]) -> None:
        """What tasks need, which is imported there if it is not started yet."""
        if self._process is None:
            self._modules = *_OURS, *sorted(name for name in modules if name.partition(".")[0] in _LIBRARIES)

    def start(self) -> None:
        """Starts it before the first worker does."""
        with self._lock:
            self._ensure()

    def make_process(self, **options: Any) -> BaseProcess:
        """A process that is forked there when it is started."""
        return LineshaftWorker(self, **options)

    def fork(self, descriptors: list[int]) -> tuple[int, int]:
        """A new process that has `descriptors`: one to read its id and exit code from, one that tells it what to do."""
        with self._lock:
            self._ensure()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{self._folder}/socket")
                its_words, told = os.pipe()
                listens, tells = os.pipe()
                # Where it expects one to ask the server by, which workers have no need of.
                nothing = os.open(os.devnull, os.O_RDONLY)
                try:
                    tracker: Any = resource_tracker.getfd()
                    reduction.sendfds(client, [listens, told, nothing, tracker, *descriptors])
                except BaseException:
                    os.close(its_words)
                    os.close(tells)
                    raise
                finally:
                    for descriptor in (listens, told, nothing):
                        os.close(descriptor)
        return its_words, tells

    def forget(self) -> None:
        """After a fork: it is the parent's."""
        if self._process is not None:
            self._process.returncode = 0
            os.close(self._alive)
            self._process = None

    def __del__(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._end()

    def _end(self) -> None:
        os.close(self._alive)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._process = None

    def _ensure(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None:
            self._end()
        resource_tracker.ensure_running()
        self._folder = tempfile.mkdtemp(prefix="lineshaft-")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{self._folder}/socket")
            listener.listen()
            watched, alive = os.pipe()
            try:
                code = _SERVE.format(
                    listener=listener.fileno(), alive=watched, modules=list(self._modules), folder=self._folder
                )
                flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
                command = [os.fsdecode(spawn.get_executable()), *flags, "-c", code]
                descriptors = (listener.fileno(), watched)
                # Ctrl-C is none of its business, from its first instruction on. Workers let it in again.
                before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
                try:
                    self._process = subprocess.Popen(command, pass_fds=descriptors, env=self.environment)
                finally:
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
            except BaseException:
                os.close(alive)
                raise
            finally:
                os.close(watched)
            self._alive = alive


class LineshaftWorker(process.BaseProcess):
    """Its name is that of processes in logs."""

    _start_method = None  # Tasks that start processes do so as in the program.

    def __init__(self, template: Template, **options: Any) -> None:
        super().__init__(**options)
        self.template: Template | None = template

    @staticmethod
    def _Popen(process_obj: LineshaftWorker) -> Any:  # noqa: N802  # so it is called by the base class
        return _Popen(process_obj)


class _Popen(popen_forkserver.Popen):
    _fds: list[int]

    def _launch(self, process_obj: LineshaftWorker) -> None:
        template, process_obj.template = process_obj.template, None
        assert template is not None
        preparation = spawn.get_preparation_data(process_obj.name)
        for name in ("init_main_from_name", "init_main_from_path"):
            preparation.pop(name, None)
        stream = io.BytesIO()
        set_spawning_popen(self)
        try:
            reduction.dump(preparation, stream)
            reduction.dump(process_obj, stream)
        finally:
            set_spawning_popen(None)
        self.sentinel, tells = template.fork(self._fds)
        # What the child tells its parent's death by.
        stays = os.dup(tells)
        self.finalizer = util.Finalize(self, util.close_fds, (stays, self.sentinel))  # type: ignore[attr-defined]
        with open(tells, "wb", closefd=True) as pipe:
            pipe.write(stream.getbuffer())
        self.pid = read_signed(self.sentinel)


_lock = threading.Lock()
_templates: list[Template] = []
_TEMPLATES_MAX = 2
"""Templates that are kept though nobody has workers of them, those used last."""


def template_for(environment: Mapping[str, str]) -> Template:
    """The template with this environment."""
    with _lock:
        found = next((each for each in _templates if each.environment == environment), None)
        if found is None:
            found = Template(environment)
        else:
            _templates.remove(found)
        _templates.append(found)
        del _templates[:-_TEMPLATES_MAX]
    return found


def _forget() -> None:
    """They are the parent's."""
    global _lock
    _lock = threading.Lock()
    for template in list(_all):
        template.forget()
    _all.clear()
    _templates.clear()


os.register_at_fork(after_in_child=_forget)
