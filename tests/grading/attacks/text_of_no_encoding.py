# ruff: noqa
"""Prints bytes that are no text, control characters and text without end of line.

class: outputs
earns: all
"""

# %% double
import os

os.write(1, b"\xff\xfe\xc3\x28\xed\xa0\x80" + bytes(range(256)) + b"\x1b]0;x\x07" + b"\xf0\x9f\x92" * 100)
print("\ud800\udfff\ufffe\uffff" + "\u202e" * 1000, end="")
"\ud800"


def double(x):
    return 2 * x
