# ruff: noqa
"""Takes as much memory as it gets, by itself and in children.

class: exhaustion
limits: question=5
"""

# %% double
import os


def double(x):
    for _ in range(4):
        if os.fork() == 0:
            break
    held = []
    while True:
        try:
            held.append(b"x" * 20_000_000)
        except MemoryError:
            pass
