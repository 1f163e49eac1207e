# ruff: noqa
"""Raises SystemExit, KeyboardInterrupt, GeneratorExit and BaseException in the middle of a test.

class: forged exceptions
"""


# %% double
def double(x):
    if x == 3:
        return 6
    raise SystemExit(0)


# %% scale
def scale(x, by):
    raise KeyboardInterrupt


# %% counts
class Quiet(BaseException):
    pass


def counts(words):
    raise Quiet


# %% each
def each(f, values):
    raise GeneratorExit
