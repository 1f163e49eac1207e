# ruff: noqa
"""Takes memory that belongs to no process: anonymous files, System V segments, pipes.

class: exhaustion
earns: all
"""

# %% double
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)
won = []
for number, arguments in ((319, (b"x", 0)), (447, (0,)), (29, (0, 2**30, 0o1600))):
    if libc.syscall(number, *arguments) >= 0:
        won.append(number)
try:
    os.memfd_create("x")
    won.append("memfd")
except OSError:
    pass
assert not won, won


def double(x):
    return 2 * x
