"""Pools of processes and threads: `Pool`, `Executor`.

They hire a crew (`_crew.py`), whose workers are threads, or processes that run `_worker.py` and which the next pool may
take over (`_warm.py`). Nothing is imported here, so that a worker imports no more than it needs.
"""
