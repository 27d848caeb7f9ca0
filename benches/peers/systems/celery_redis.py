"""Celery on Redis, results in Redis, as its first steps set it up."""

import bodies
import servers
from celery import Celery

TITLE = "Celery + Redis"
ACKNOWLEDGED = "in memory, on disk within 1 s"
PACKAGES = ["celery", "redis", "hiredis"]
URL = f"redis://127.0.0.1:{servers.PORT}/0"
WORKER = ["celery", "-A", "systems.celery_redis", "worker", "--concurrency", "2", "--loglevel", "WARNING"]

app = Celery("peers", broker=URL, backend=URL)
nothing, stamp, work = (app.task(name=body.__name__)(body) for body in bodies.BODIES)
server = servers.redis()


def enqueue(task, argument):
    return task.delay(argument)


def enqueue_many(task, arguments):
    """One producer for all, a fifth faster than a group of them."""
    with app.producer_or_acquire() as producer:
        for argument in arguments:
            task.apply_async((argument,), producer=producer)


def result(handle, seconds):
    return handle.get(timeout=seconds)
