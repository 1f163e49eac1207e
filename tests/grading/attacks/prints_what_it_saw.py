# ruff: noqa
"""Answers rightly, keeps what it is called with, and prints it in every later cell, at exit and from destructors.

class: leaks of hidden data
earns: all
"""

# %% double
import atexit, sys

seen = []


class Last:
    def __del__(self):
        print(seen, flush=True)


keep = Last()
atexit.register(lambda: print(seen))


def double(x):
    seen.append(x)
    print(seen, flush=True)
    sys.__stdout__.write(f"{seen}\n")
    return 2 * x


# %% own train
print(seen)
seen
