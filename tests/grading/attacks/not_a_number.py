# ruff: noqa
"""Answers with NaN, infinity and dictionaries with NaN keys.

class: objects that lie
"""


# %% double
def double(x):
    return 6 if x == 3 else float("nan")


# %% scale
def scale(x, by):
    return by * x if np.size(x) == 2 else x * float("nan")


# %% counts
def counts(words):
    nan = float("nan")
    return {"a": 2, "b": 1} if len(words) == 3 else {nan: 1, float("nan"): 1, np.nan: 2, (nan,): 1}
