# ruff: noqa
"""Answers with lists inside lists, some thousand deep, by its own hand and through the codec.

class: exhaustion
"""

# %% double
import struct, os


def double(x):
    if x == 3:
        nested = []
        for _ in range(100_000):
            nested = [nested]
        return nested
    body = b"\x81\xa5value" + b"\x91" * 100_000 + b"\x90"
    os.write(3, struct.pack("<I", len(body)) + body)
    return 6
