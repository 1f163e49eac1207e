# ruff: noqa
"""Ends its process in the middle of a test, with status 0.

class: crashes
"""

# %% double
import os


def double(x):
    os._exit(0)
