# ruff: noqa
"""Asks about a lent object again and again and never answers.

class: time
limits: question=1.5
"""


# %% each
def each(f, values):
    if len(values) == 2:
        return [f(v) for v in values]
    while True:
        f(1)
