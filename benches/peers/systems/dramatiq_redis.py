"""Dramatiq on Redis with its results middleware."""

import bodies
import dramatiq
import servers
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

TITLE = "Dramatiq + Redis"
ACKNOWLEDGED = "in memory, on disk within 1 s"
PACKAGES = ["dramatiq", "redis", "hiredis"]
URL = f"redis://127.0.0.1:{servers.PORT}/0"
WORKER = ["dramatiq", "systems.dramatiq_redis", "--processes", "2"]

broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=RedisBackend(url=URL)))
dramatiq.set_broker(broker)
nothing, stamp, work = (dramatiq.actor(store_results=True)(body) for body in bodies.BODIES)
server = servers.redis()


def enqueue(task, argument):
    return task.send(argument)


def enqueue_many(task, arguments):
    """It has nothing that sends several at once; this is a loop."""
    dramatiq.group(task.message(argument) for argument in arguments).run()


def result(handle, seconds):
    return handle.get_result(block=True, timeout=seconds * 1000)
