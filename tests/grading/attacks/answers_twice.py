# ruff: noqa
"""Sends every answer twice, and so answers questions that nobody asked.

class: forged frames
spares: none
"""

# %% double
import gc

runtime = next(o for o in gc.get_objects() if type(o).__name__ == "Runtime")
send = runtime.line.send


def double(x):
    runtime.line.send = lambda tree: (send(tree), send(tree))
    return 6
