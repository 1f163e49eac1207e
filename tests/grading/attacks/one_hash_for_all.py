# ruff: noqa
"""Answers with a set of numbers that all have the same hash, so that each is compared with all others.

class: exhaustion
limits: question=2
"""

# %% counts
import gc

runtime = next(o for o in gc.get_objects() if type(o).__name__ == "Runtime")
encode = runtime._codec.encode


def counts(words):
    tree = ["s", [["i", hex(k * (2**61 - 1) << 61)] for k in range(150_000)]]
    runtime._codec.encode = lambda value, *_: tree
    return None
