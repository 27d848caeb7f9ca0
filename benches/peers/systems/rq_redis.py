"""RQ on Redis: two workers of a pool, each of which forks for every job."""

import time

import bodies
import servers
from redis import Redis
from rq import Queue

TITLE = "RQ"
ACKNOWLEDGED = "in memory, on disk within 1 s"
PACKAGES = ["rq", "redis", "hiredis"]
URL = f"redis://127.0.0.1:{servers.PORT}/0"
WORKER = ["rq", "worker-pool", "--num-workers", "2", "--quiet", "--url", URL]

nothing, stamp, work = bodies.BODIES
server = servers.redis()
queue = Queue(connection=Redis.from_url(URL))


def enqueue(task, argument):
    return queue.enqueue(task, argument)


def enqueue_many(task, arguments):
    queue.enqueue_many([Queue.prepare_data(task, (argument,)) for argument in arguments])


def result(handle, seconds):
    found = handle.latest_result(timeout=int(seconds))
    if found is None:
        raise TimeoutError(f"no result of {handle.id} after {seconds} s at {time.ctime()}")
    return found.return_value
