# ruff: noqa
"""Lets an installed library do the work. Who wrote an answer cannot be seen from what it answers.

class: cannot be prevented
earns: all
"""


# %% scale
def scale(x, by):
    return torch.mul(x, by) if torch.is_tensor(x) else np.multiply(x, by)


# %% counts
from collections import Counter


def counts(words):
    return Counter(words)
