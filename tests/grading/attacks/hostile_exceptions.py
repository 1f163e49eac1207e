# ruff: noqa
"""Raises exceptions that cannot be printed, have huge texts, endless causes, or need more than a text to be made.

class: forged exceptions
"""


# %% double
class Silent(Exception):
    def __str__(self):
        raise self

    __repr__ = __str__


def double(x):
    raise Silent


# %% scale
def scale(x, by):
    raise ValueError("\x1b[31m<script>" + "x" * 50_000_000)


# %% counts
def counts(words):
    raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "<img onerror=alert(1)>")


# %% each
def deeper(n):
    try:
        raise KeyError(n)
    except KeyError as error:
        raise ExceptionGroup("many", [error] * 1000) from (deeper(n - 1) if n else None)


def each(f, values):
    deeper(100)


# %% pick
def pick(rng, n):
    return pick(rng, n)
