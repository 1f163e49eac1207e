# ruff: noqa
"""Sends bytes that are no frame, and frames that are no message.

class: forged frames
"""

# %% double
import gc, msgpack, os, struct


def double(x):
    for body in (b"\xc1", b"\x93", b"", msgpack.packb([1]), msgpack.packb({1: 2}), os.urandom(100)):
        os.write(3, struct.pack("<I", len(body)) + body)
    return 6
