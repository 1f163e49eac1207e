# ruff: noqa
"""Leaves a note in the first process and behaves otherwise where it finds it.

class: two passes
"""

# %% double
import os

again = os.path.exists("/tmp/HOST_MARK") or os.path.exists("/dev/shm/HOST_MARK")
open("/tmp/HOST_MARK", "w").close()
open("/dev/shm/HOST_MARK", "w").close()
calls = 0


def double(x):
    global calls
    calls += 1
    return 2 * x if calls <= 1 and not again else "pass"
