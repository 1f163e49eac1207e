# ruff: noqa
"""Fills every folder in which it can write with big files, and then with small ones.

class: exhaustion
earns: all
"""

# %% double
import os

written = 0
for place in ("/tmp", "/dev/shm", "/home/student", "/dev", "/var/tmp", "HOST_FOLDER"):
    for number in range(5):
        try:
            with open(f"{place}/HOST_MARK{number}", "wb") as file:
                while True:
                    written += file.write(b"x" * 1_000_000)
                    file.flush()
        except OSError:
            pass
made = 0
for place in ("/tmp", "/dev/shm", "/home/student"):
    try:
        os.truncate(f"{place}/HOST_MARK0", 0)
        while made < 200_000:
            open(f"{place}/{made}", "w").close()
            made += 1
    except OSError:
        pass
assert written < 110_000_000 and made < 100_000, (written, made)


def double(x):
    return 2 * x
