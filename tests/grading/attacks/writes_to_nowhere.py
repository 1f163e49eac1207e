# ruff: noqa
"""Makes its process crash in C code.

class: crashes
"""

# %% double
import ctypes


def double(x):
    ctypes.string_at(8)


# %% pick
import ctypes, sys


def pick(rng, n):
    ctypes.memset(id(rng), 255, 64)
    return rng.random()
