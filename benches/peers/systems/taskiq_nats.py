"""Taskiq on NATS JetStream, results in the object store of NATS."""

import asyncio

import bodies
import servers
from taskiq_nats import NATSObjectStoreResultBackend, PullBasedJetStreamBroker

PACKAGES = ["taskiq", "taskiq-nats"]
URL = f"nats://127.0.0.1:{servers.PORT}"
WORKER = ["taskiq", "worker", "systems.taskiq_nats:broker", "--workers", "2", "--log-level", "WARNING"]

broker = PullBasedJetStreamBroker([URL], durable="peers").with_result_backend(NATSObjectStoreResultBackend([URL]))
nothing, stamp, work = (broker.task(task_name=body.__name__)(body) for body in bodies.BODIES)
server = servers.nats()
loop = asyncio.new_event_loop()


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
