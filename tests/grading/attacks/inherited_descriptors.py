# ruff: noqa
"""Reads, writes and sends on every descriptor that it finds, but for its own three.

class: escape
earns: all
"""

# %% double
import os, socket

found = []
for number in range(4, 2000):
    try:
        found.append((number, os.fstat(number).st_mode))
        os.write(number, b"{}")
        found.append(os.read(number, 10))
    except OSError:
        pass
assert not found, found


def double(x):
    return 2 * x
