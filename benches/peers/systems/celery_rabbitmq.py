"""Celery on RabbitMQ, results by RPC, as its first steps set it up."""

import bodies
import servers
from celery import Celery

TITLE = "Celery + RabbitMQ"
ACKNOWLEDGED = "sent: it asks for no confirmation"
PACKAGES = ["celery"]
WORKER = ["celery", "-A", "systems.celery_rabbitmq", "worker", "--concurrency", "2", "--loglevel", "WARNING"]

app = Celery("peers", broker=f"amqp://guest:guest@127.0.0.1:{servers.PORT}//", backend="rpc://")
nothing, stamp, work = (app.task(name=body.__name__)(body) for body in bodies.BODIES)
server = servers.rabbitmq()


def enqueue(task, argument):
    return task.delay(argument)


def enqueue_many(task, arguments):
    """One producer for all, faster than a group of them."""
    with app.producer_or_acquire() as producer:
        for argument in arguments:
            task.apply_async((argument,), producer=producer)


def result(handle, seconds):
    return handle.get(timeout=seconds)
