"""The profiler: around what (`_profiler.py`, `_calls.py`), measuring (`_run.py`, `_memory.py`), and what was found
(`_profile.py`, `_table.py`).

Frames of files in this directory are left out of every profile.
"""
