"""Pools of resources: `_ledger.py` knows who has what and who is next, `_pool.py` opens, lends and closes."""
