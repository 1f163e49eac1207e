# ruff: noqa
"""Starts as many threads as it can, each of which computes.

class: exhaustion
limits: question=2
"""

# %% double
import threading


def double(x):
    def spin():
        while True:
            pass

    while True:
        try:
            threading.Thread(target=spin, daemon=True).start()
        except RuntimeError:
            pass
