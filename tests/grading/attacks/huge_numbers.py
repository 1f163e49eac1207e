# ruff: noqa
"""Answers with integers of a hundred thousand digits, and strings and arrays of a gigabyte.

class: exhaustion
"""


# %% double
def double(x):
    return 10**100_000 if x == 3 else "ab" * 200_000_000


# %% scale
def scale(x, by):
    return np.broadcast_to(np.float64(3), (10**5, 10**5))
