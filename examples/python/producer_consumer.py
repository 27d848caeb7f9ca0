"""A producer and a consumer over a queue, as one first writes them: the consumer loops, the producer joins.

    python producer_consumer.py

The same shape twice. With the standard library it cannot be written: its `Queue` has no `task_done`, and with a
`JoinableQueue` nothing ever ends the consumer. Here `shutdown` does: `get` raises `ShutDown`, which is a clean exit.
"""

import multiprocessing

import lineshaft.multiprocessing

JOBS = 3


def produce(queue):
    for number in range(JOBS):
        queue.put(number)


def consume(queue):
    while True:
        number = queue.get()
        print("consumed", number, flush=True)
        queue.task_done()


def with_the_standard_library():
    print("multiprocessing.Queue has task_done:", hasattr(multiprocessing.Queue(), "task_done"))
    queue = multiprocessing.JoinableQueue()
    p = multiprocessing.Process(target=produce, args=(queue,))
    c = multiprocessing.Process(target=consume, args=(queue,))
    p.start()
    c.start()
    p.join()
    queue.join()
    c.join(timeout=1)  # without the timeout: for ever
    print("the consumer has ended:", not c.is_alive(), flush=True)
    c.terminate()
    c.join()


def with_lineshaft():
    queue = lineshaft.multiprocessing.Queue()
    p = lineshaft.multiprocessing.Process(target=produce, args=(queue,))
    c = lineshaft.multiprocessing.Process(target=consume, args=(queue,))
    p.start()
    c.start()
    p.join()
    queue.join()
    queue.shutdown()
    c.join()
    print("the consumer has ended:", not c.is_alive(), "with", c.exitcode, flush=True)


if __name__ == "__main__":
    with_the_standard_library()
    with_lineshaft()
