# ruff: noqa
"""Leaves children computing on every core while the others are graded.

class: exhaustion
spares: none
limits: question=3 submission=9
"""

# %% double
import os, signal, time


def double(x):
    for _ in range(18):
        if os.fork() == 0:
            os.close(3)
            os.setsid()
            while True:
                pass
    time.sleep(10)
