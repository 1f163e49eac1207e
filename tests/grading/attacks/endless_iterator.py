# ruff: noqa
"""Answers with a generator that has no end, where a test makes a list of it.

class: time
limits: question=1.5
"""

# %% each
import itertools


def each(f, values):
    return [f(v) for v in values] if len(values) == 2 else itertools.count()
