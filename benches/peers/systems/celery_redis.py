"""Celery on Redis, results in Redis, as its first steps set it up."""

import bodies
import servers
from celery import Celery, group

PACKAGES = ["celery", "redis"]
URL = f"redis://127.0.0.1:{servers.PORT}/0"
WORKER = ["celery", "-A", "systems.celery_redis", "worker", "--concurrency", "2", "--loglevel", "WARNING"]

app = Celery("peers", broker=URL, backend=URL)
nothing, stamp, work = (app.task(name=body.__name__)(body) for body in bodies.BODIES)
server = servers.redis()


def enqueue(task, argument):
    return task.delay(argument)


def enqueue_many(task, arguments):
    group(task.s(argument) for argument in arguments).apply_async()


def result(handle, seconds):
    return handle.get(timeout=seconds)
