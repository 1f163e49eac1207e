# ruff: noqa
"""Asks for the arrays of a lent object a million times, each to be mirrored.

class: exhaustion
limits: question=2
"""


# %% descend
def descend(layer, x, rate):
    for _ in range(1_000_000):
        layer.w["w"][...] += 1
    return x
