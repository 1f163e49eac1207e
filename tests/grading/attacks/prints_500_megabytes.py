# ruff: noqa
"""Prints half a gigabyte, to both streams.

class: exhaustion
earns: all
limits: question=10
"""

# %% double
import os

line = b"x" * 99_999 + b"\n"
for _ in range(2500):
    os.write(1, line)
    os.write(2, line)


def double(x):
    os.write(1, line)
    return 2 * x
