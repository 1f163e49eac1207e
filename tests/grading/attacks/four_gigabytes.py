# ruff: noqa
"""Announces a frame of four gigabytes.

class: forged frames
"""

# %% double
import os, time


def double(x):
    os.write(3, b"\xff\xff\xff\xff" + b"x" * 1000)
    time.sleep(60)
