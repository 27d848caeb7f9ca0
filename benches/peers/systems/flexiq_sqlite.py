"""FlexiQ on SQLite, its default: synchronous=NORMAL, so a power cut may take the last commits."""

import bodies
from flexiq import Queue

PACKAGES = ["flexiq"]
WORKER = ["flexiq", "worker", "--app", "systems.flexiq_sqlite:queue", "--pool", "prefork"]

queue = Queue(db_path=str(bodies.DIRECTORY / "flexiq.db"), workers=2)
nothing, stamp, work = (queue.task(name=body.__name__)(body) for body in bodies.BODIES)
server = None


def enqueue(task, argument):
    return task.delay(argument)


def enqueue_many(task, arguments):
    queue.enqueue_many(task.name, [(argument,) for argument in arguments])


def result(handle, seconds):
    return handle.result(timeout=seconds, poll_interval=0.001)
