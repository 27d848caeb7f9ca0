"""`app.pool()`: the verbs of a pool, each item a job on the engine's workers.

`_pool.py` is the face, whose verbs make sources (`_source.py`). A thread of each pool (`_driver.py`) makes jobs of
their items (`_maker.py`) as there is room (`_room.py`), follows these (`_follower.py`), and tells what became of them
(`_telling.py`) to what the verbs gave (`_results.py`). When the pool is left before all is done, `_leaving.py` cancels.
In the body of a task a slot is lent meanwhile (`_lent.py`).
"""
