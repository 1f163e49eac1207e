# ruff: noqa
"""Takes less than the limit of a question in each one, so that all of them take long.

class: time
spares: none
limits: question=1.5 submission=4
"""

# %% double
import time


def double(x):
    time.sleep(1.2)
    return 2 * x


# %% scale
time.sleep(1.2)


def scale(x, by):
    time.sleep(1.2)
    return by * x


# %% counts
time.sleep(1.2)


def counts(words):
    return {}


# %% own line
time.sleep(1.2)
