# ruff: noqa
"""Takes memory that it shares with its children, which no sum of private memory shows.

class: exhaustion
limits: question=5
"""

# %% double
import mmap, os, time


def double(x):
    held = []
    for _ in range(6):
        if os.fork() == 0:
            held.clear()
        try:
            part = mmap.mmap(-1, 200_000_000)
            for place in range(0, 200_000_000, 4096):
                part[place] = 1
            held.append(part)
        except (OSError, MemoryError):
            pass
    time.sleep(60)
