"""A client and a worker of Lineshaft in nothing but the standard library, written from docs/protocol.md.

`Client` makes jobs and waits for them, `Worker` runs them. Both go on where they were after a break of the connection.
"""

import contextlib
import ctypes
import itertools
import os
import select
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback
from typing import NamedTuple

from messagepack import Reader, decode_value, encode_value, pack

HELLO, REFUSED, DONE, ENQUEUE, WAIT, ATTACH_WORKER, ATTACH_CHILD, CHILD_ATTACHED = 1, 3, 5, 10, 12, 40, 42, 43
CREDIT, LEASES, FINISH, FINISHED, RELEASE, RENEW, STOP = range(44, 51)
HEADER = struct.Struct("<IBBHQI")
RULES = {"max_attempts": 1, "max_crashes": 3, "timeout_ms": 3_600_000, "backoff_first_ms": 1000}
RULES |= {"backoff_max_ms": 600_000, "retry_on": [], "retry_never": [], "at_most_once": False}
RULES |= {"keep_result": True, "result_ttl_ms": 86_400_000}


class Refused(Exception):
    """What the server refused, as it says it."""


class Frame(NamedTuple):
    kind: int
    request: int
    message: dict
    payload: bytes = b""

    def encode(self):
        body = pack(self.message)
        length = 4 + len(body) + len(self.payload)
        return HEADER.pack(length, self.kind, 0, 0, self.request, len(body)) + body + self.payload


def decode_frame(received):
    """The first frame and its length; None if it is not whole yet."""
    if len(received) < 20 or len(received) < 16 + HEADER.unpack(received[:20])[0]:
        return None
    length, kind, _, _, request, size = HEADER.unpack(received[:20])
    message = Reader(received[20 : 20 + size]).value()
    return Frame(kind, request, message, received[20 + size : 16 + length]), 16 + length


class Connection:
    """A connection to the server of the directory `home`."""

    def __init__(self, home, session=None, open_session=False):
        self.received, self.socket = b"", socket.socket(socket.AF_UNIX)
        with open(os.path.join(home, "run", "address")) as address:
            self.socket.connect(address.readline().rstrip("\n"))
        hello = {"protocol": [1, 1], "version": "tiny", "executable": sys.executable, "pid": os.getpid()}
        self.send(HELLO, 1, hello | {"session": session, "open_session": open_session})
        self.session = self.read().message["session"]

    def __del__(self):
        self.socket.close()

    def send(self, *frame):
        self.socket.sendall(Frame(*frame).encode())

    def read(self):
        """Waits for the next frame."""
        while not (found := decode_frame(self.received)):
            if not (data := self.socket.recv(1 << 20)):
                raise ConnectionError("the server closed the connection")
            self.received += data
        frame, self.received = found[0], self.received[found[1] :]
        if frame.kind == REFUSED:
            raise (Refused if frame.request else ConnectionError)(frame.message)
        return frame


class Client:
    """Makes jobs and waits for them. A request whose connection breaks is sent again, and carried out once."""

    def __init__(self, home):
        self.home, self.connection, self.session, self.number, self.used = home, None, None, 0, 0.0

    def enqueue(self, task, *args, queue="default", **options):
        """Makes a job, with options as in JobGroup, and gives its id."""
        self.number += 1
        call = encode_value([list(args), {}])
        group = {"task": task, "queue": queue, "priority": 5, "rules": RULES, "tags": [], "lengths": [len(call)]}
        sequence = {"number": self.number, "lowest": self.number}
        return self.ask(ENQUEUE, {"sequence": sequence, "groups": [group | options]}, call).message["ids"]

    def result(self, job):
        """Waits for the end of a job; raises what the server tells about it if it has no result."""
        ended = self.ask(WAIT, {"ids": job, "results": True})
        if ended.payload:
            return decode_value(ended.payload)
        raise Failed(ended.message)

    def ask(self, *frame):
        """Sends a request until it is answered, for a minute without a connection."""
        sent, give_up_at = False, None
        while True:
            try:
                self.connect(sent)
                self.connection.send(frame[0], 2, *frame[1:])
                sent = True
                return self.connection.read()
            except OSError:
                self.connection, give_up_at = None, give_up_at or time.monotonic() + 60
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(0.1)

    def connect(self, is_resend):
        if time.monotonic() > self.used + 300 and not is_resend:
            self.connection = self.session = None  # nobody pings, so the session may be gone; nothing of it is open
        if self.connection is None:
            self.connection = Connection(self.home, self.session, True)
            if is_resend and self.connection.session != self.session:
                raise Failed("the session is gone: nobody knows whether the request was carried out")
            self.session = self.connection.session
        self.used = time.monotonic()


class Failed(Exception):
    """A job without a result, or a request of which nobody knows what became of it."""


class Attempt:
    """One execution of a job, in a process group of its own."""

    def __init__(self, job, fence, timeout, body):
        self.job, self.fence, self.stopped = job, fence, None
        self.said, self.printed = (tempfile.TemporaryFile() for _ in range(2))  # noqa: SIM115
        self.started, self.deadline = time.time(), time.monotonic() + timeout
        self.pid = os.fork()
        if self.pid == 0:
            os.setpgid(0, 0)
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it must not outlive its lease
            os.dup2(self.printed.fileno(), 1)
            os.dup2(self.printed.fileno(), 2)
            self.said.write(run_body(*body))
            self.said.flush()
            sys.stdout.flush()
            os._exit(0)
        self.pidfd = os.pidfd_open(self.pid)

    def stop(self, why):
        """Kills what runs; to be called again until it is gone."""
        self.stopped = self.stopped or why
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def end(self):
        """The Finish of an attempt whose process has ended, and its payload."""
        died_of = os.WTERMSIG(os.waitpid(self.pid, 0)[1])
        os.close(self.pidfd)
        with contextlib.suppress(ProcessLookupError):
            for _ in range(500):
                os.killpg(self.pid, signal.SIGKILL)
                time.sleep(0.01)
        self.said.seek(0)
        self.printed.seek(0)
        said, printed = self.said.read(), self.printed.read(64 << 10)
        times = [int(self.started * 1000), int(time.time() * 1000)]
        if said[:1] == b"+":
            row = [self.job, *self.fence.values(), *times, len(said) - 1, len(printed)]
            return {"succeeded": [row], "others": []}, said[1:] + printed
        crash = {"crashed": {"error": {"types": [], "message": "the process died", "signal": died_of or None}}}
        end = Reader(said[1:]).value() if said else self.stopped or crash
        other = {"job": self.job, "fence": self.fence, "started_at": times[0], "finished_at": times[1], "end": end}
        return {"succeeded": [], "others": [other | {"output_length": len(printed)}]}, printed


def run_body(function, call, keep):
    """What a process has to say of its attempt: + and the result, or - and an End."""
    reason = "arguments_undecodable"
    try:
        args, named, *later = decode_value(call)
        if later:
            return b"-" + pack({"parked": {"missing": f"version {later[0]} of the task, not just 1"}})
        reason = None
        result = function(*args, **named)
        reason = "result_unencodable"
        return b"+" + (encode_value(result) if keep else b"")
    except BaseException as error:
        types = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__[:-1]]
        record = {"types": types, "message": str(error), "traceback": traceback.format_exc()}
        end = {"rejected": {"reason": reason, "error": record}} if reason else {"errored": {"error": record}}
        return b"-" + pack(end)


class Worker:
    """Runs the functions of `tasks`, one job at a time, each in a process of its own so that it can be stopped."""

    def __init__(self, home, tasks, queues=()):
        self.home, self.tasks, self.queues, self.nonce = home, tasks, list(queues), int.from_bytes(os.urandom(7), "big")
        self.connection, self.attempt, self.unheard, self.stopping, self.drained = None, None, {}, False, False
        self.numbers, self.lease, self.leased_at, self.renewing = itertools.count(4), 15.0, 0.0, None

    def run(self):
        """Works until `stopping` is set; finishes what runs then, and takes nothing more."""
        while self.attempt or self.unheard or not self.drained:
            try:
                if self.connection is None:
                    self.attach()
                self.talk()
            except OSError:
                self.connection = None
                time.sleep(0.1)
            if self.attempt:
                self.look_after(self.attempt)

    def attach(self):
        connection, asked_at = Connection(self.home), time.monotonic()
        connection.socket.settimeout(5)
        with open("/proc/self/stat") as stat:
            process = {"pid": os.getpid(), "start_time": int(stat.read().rpartition(")")[2].split()[19])}
        held = [[self.attempt.job, self.attempt.fence]] if self.attempt else []
        held += [lease for _, _, _, lease in self.unheard.values() if lease]
        name = f"{socket.gethostname()}:{os.getpid()}"
        worker = {"name": name, "process": process, "nonce": self.nonce, "processes": 1}
        child = {"worker": self.nonce, "worker_name": name, "number": 1, "process": process, "held": held}
        connection.send(ATTACH_WORKER, 2, worker)
        connection.send(ATTACH_CHILD, 3, child | {"tasks": list(self.tasks), "queues": self.queues})
        while (frame := connection.read()).kind != CHILD_ATTACHED:
            pass
        self.connection, self.leased_at, self.renewing = connection, asked_at, None
        self.attached(**frame.message)

    def talk(self):
        """Hears for a moment what the server has to say, and says what is due."""
        files = [self.connection.socket, *([self.attempt.pidfd] if self.attempt else [])]
        if decode_frame(self.connection.received) or self.connection.socket in select.select(files, [], [], 0.2)[0]:
            self.receive(*self.connection.read())
        if self.renewing is None and time.monotonic() > self.leased_at + self.lease / 3:
            self.renewing = time.monotonic()
            self.send(RENEW, 1, {})
        if self.stopping and not self.drained:
            self.drained = True
            self.send(CREDIT, 0, {"leases": 0, "reset": True})
            self.tell(RELEASE, {"leases": []})  # when this is answered, no lease can be on its way any more

    def receive(self, kind, request, message, payload):
        if kind == DONE:
            self.leased_at, self.renewing = self.renewing, None
        if kind == FINISHED:
            self.unheard.pop(request, None)
        if kind == LEASES:
            [[job, counter, task, _, timeout_ms, keep, _]] = message["jobs"]
            fence = {"epoch": message["epoch"], "counter": counter}
            if self.stopping:
                self.tell(RELEASE, {"leases": [[job, fence]]}, b"", [job, fence])
                return
            function, timeout = list(self.tasks.values())[task], timeout_ms / 1000 or float("inf")
            self.attempt = Attempt(job, fence, timeout, (function, payload, keep))
        if kind == STOP and self.attempt and self.attempt.fence == message["fence"]:
            self.attempt.stop(message["reason"])

    def attached(self, lease_ms, stale, **_):
        self.lease = lease_ms / 1000
        if self.attempt and self.attempt.fence in stale:
            self.attempt.stop("stale")
        for request, (kind, told, payload, lease) in list(self.unheard.items()):
            if lease and lease[1] in stale:
                del self.unheard[request]
            else:
                self.send(kind, request, told, payload)
        if not self.attempt:
            self.send(CREDIT, 0, {"leases": int(not self.stopping), "reset": True})

    def look_after(self, attempt):
        """Stops the attempt if it has to be, and reports its end."""
        if time.monotonic() > attempt.deadline:
            attempt.stop({"timed_out": {"error": {"types": [], "message": "it ran longer than it may"}}})
        if time.monotonic() > self.leased_at + 0.8 * self.lease:
            attempt.stop("stale")
        if select.select([attempt.pidfd], [], [], 0)[0]:
            self.attempt = None
            finish, payload = attempt.end()
            if attempt.stopped != "stale":
                self.tell(FINISH, finish, payload, [attempt.job, attempt.fence])
            self.send(CREDIT, 0, {"leases": int(not self.stopping), "reset": True})

    def tell(self, kind, message, payload=b"", lease=None):
        """Sends what the server has to confirm, and keeps it until it has."""
        request = next(self.numbers)
        self.unheard[request] = (kind, message, payload, lease)
        self.send(kind, request, message, payload)

    def send(self, *frame):
        with contextlib.suppress(OSError):  # a broken connection is noticed when it is read
            if self.connection:
                self.connection.send(*frame)
