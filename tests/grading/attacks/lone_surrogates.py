# ruff: noqa
"""Answers and prints text that no encoding has.

class: exhaustion
"""

# %% counts
import sys

print("\ud800 \udfff \x00 \x1b[2J")
sys.stdout.buffer.write(b"\xff\xfe\x00\xc3(\n") if hasattr(sys.stdout, "buffer") else None
"\ud83d"


def counts(words):
    return {"\ud800": 2, "\x00": 1, "\udc80": "\ud800"}
