# ruff: noqa
"""Sends a frame of a megabyte, a byte every now and then.

class: time
limits: question=1.5
"""

# %% double
import os, struct, time


def double(x):
    os.write(3, struct.pack("<I", 2**20))
    while True:
        os.write(3, b"\x90")
        time.sleep(0.001)
