# ruff: noqa
"""Stops its process, and all others that it can.

class: crashes
limits: question=2
"""

# %% double
import os, signal, time


def double(x):
    for pid in (os.getpid(), 0, -1):
        try:
            os.kill(pid, signal.SIGSTOP)
        except OSError:
            pass
    signal.pause()
