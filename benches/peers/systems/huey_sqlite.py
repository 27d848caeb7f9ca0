"""Huey on SQLite with fsync: no server, as durable as SQLite.

An idle worker looks for jobs every 0.1 s as it ships, which is what a start waits for.
"""

import bodies
from huey import SqliteHuey

TITLE = "Huey + SQLite, fsync"
ACKNOWLEDGED = "on disk"
PACKAGES = ["huey"]
WORKER = ["huey_consumer", "systems.huey_sqlite.huey", "--workers", "2", "--worker-type", "process", "--quiet"]

huey = SqliteHuey("peers", filename=str(bodies.DIRECTORY / "huey.db"), fsync=True)
nothing, stamp, work = (huey.task()(body) for body in bodies.BODIES)
server = None


def enqueue(task, argument):
    return task(argument)


def enqueue_many(task, arguments):
    task.map(arguments)


def result(handle, seconds):
    return handle.get(blocking=True, timeout=seconds, backoff=1, max_delay=0.001)
