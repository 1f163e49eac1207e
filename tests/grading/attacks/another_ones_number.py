# ruff: noqa
"""Answers with references to objects of the tests that were never lent, or lent to another function.

class: forged frames
"""

# %% each
import gc

runtime = next(o for o in gc.get_objects() if type(o).__name__ == "Runtime")
encode, turn = runtime._codec.encode, iter([["tests", 0], ["tests", 10**6], ["tests", -1], ["student", 10**9, 0]])


def each(f, values):
    tree = next(turn, ["tests", 1])
    runtime._codec.encode = lambda value, *_: ["r", *tree]
    return None
