# ruff: noqa
"""Announces a frame of a thousand bytes and sends ten.

class: forged frames
limits: question=1.5
"""

# %% double
import gc, time, os, struct


def double(x):
    os.write(3, struct.pack("<I", 1000) + b"0123456789")
    time.sleep(60)
