"""Huey on SQLite with fsync: no server, as durable as SQLite."""

import bodies
from huey import SqliteHuey

PACKAGES = ["huey"]
WORKER = ["huey_consumer", "systems.huey_sqlite.huey", "--workers", "2", "--worker-type", "process", "--quiet"]

huey = SqliteHuey("peers", filename=str(bodies.DIRECTORY / "huey.db"), fsync=True)
nothing, stamp, work = (huey.task()(body) for body in bodies.BODIES)
server = None


def enqueue(task, argument):
    return task(argument)


def enqueue_many(task, arguments):
    for argument in arguments:
        task(argument)


def result(handle, seconds):
    return handle.get(blocking=True, timeout=seconds)
