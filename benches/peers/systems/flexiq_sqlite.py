"""FlexiQ on SQLite, its default: synchronous=NORMAL, so a power cut may take the last commits.

Processes in place of threads, its default, which run a tenth of it. Its scheduler looks for jobs every 50 ms.
"""

import bodies
from flexiq import Queue

TITLE = "FlexiQ"
ACKNOWLEDGED = "in the kernel, on disk at a checkpoint"
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
    return handle.result(timeout=seconds, poll_interval=0.001, max_poll_interval=0.002)
