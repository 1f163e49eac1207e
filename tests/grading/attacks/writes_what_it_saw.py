# ruff: noqa
"""Answers rightly, writes what it is called with to every file it can open, and prints these in cells of its own.

class: leaks of hidden data
earns: all
"""

# %% double
import os

places = [
    "/tmp",
    "/dev/shm",
    "/dev",
    "/home/student",
    ".",
    "/",
    "/fonts",
    "/dev/pts",
    "/proc",
    "/var/tmp",
    "HOST_FOLDER",
]
for place in places:
    try:
        print(place, os.listdir(place), open(f"{place}/HOST_MARK").read())
    except OSError:
        pass


def double(x):
    for place in places:
        try:
            with open(f"{place}/HOST_MARK", "a") as file:
                file.write(f"{x}\n")
        except OSError:
            pass
    return 2 * x


# %% own train
for place in places:
    try:
        print(open(f"{place}/HOST_MARK").read())
    except OSError:
        pass
