"""Taskiq on NATS JetStream, results in the object store of NATS.

Its workers ask for one message at a time as they ship. With `pull_consume_batch=100` they run twice as many, and a job
that comes alone waits until its batch is full.
"""

import asyncio

import bodies
import servers
import uvloop
from taskiq_nats import NATSObjectStoreResultBackend, PullBasedJetStreamBroker

TITLE = "Taskiq + NATS"
ACKNOWLEDGED = "in the kernel, on disk within 2 min"
PACKAGES = ["taskiq", "taskiq-nats"]
URL = f"nats://127.0.0.1:{servers.PORT}"
WORKER = ["taskiq", "worker", "systems.taskiq_nats:broker", "--workers", "2", "--log-level", "WARNING"]

broker = PullBasedJetStreamBroker([URL], durable="peers").with_result_backend(NATSObjectStoreResultBackend([URL]))
loop = uvloop.new_event_loop()
work = broker.task(task_name="work")(bodies.work)
server = servers.nats()


@broker.task(task_name="nothing")
async def nothing(text: str) -> int:
    """A coroutine, as tasks are with Taskiq if they can: a fifth less CPU than in its thread pool."""
    return bodies.nothing(text)


@broker.task(task_name="stamp")
async def stamp(sent: float) -> float:
    return bodies.stamp(sent)


def connect():
    loop.run_until_complete(broker.startup())


def enqueue(task, argument):
    return loop.run_until_complete(task.kiq(argument))


def enqueue_many(task, arguments):
    async def all_of_them():
        await asyncio.gather(*(task.kiq(argument) for argument in arguments))

    loop.run_until_complete(all_of_them())


def result(handle, seconds):
    return loop.run_until_complete(handle.wait_result(timeout=seconds, check_interval=0.001)).return_value
