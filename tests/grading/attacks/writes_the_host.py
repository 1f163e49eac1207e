# ruff: noqa
"""Writes to whatever a grader might read next: the environment, start-up files, the canary, its folder.

class: escape
earns: all
"""

# %% double
import os, site, sys, pathlib

places = [
    "HOST_FOLDER",
    "/tmp",
    "/var/tmp",
    "/dev/shm",
    os.path.expanduser("~"),
    sys.prefix,
    "/usr/lib",
    "/",
    "/etc",
    "/dev",
    *site.getsitepackages(),
    str(pathlib.Path(sys.modules["course_lib"].__file__).parent),
    "/proc/sys/kernel",
]
for place in places:
    try:
        with open(f"{place}/HOST_MARK.pth", "a") as file:
            file.write("# hostile")
        print("wrote to", place)
    except OSError as error:
        print(place, error)
for how in (
    lambda: open("HOST_CANARY", "w"),
    lambda: os.unlink("HOST_CANARY"),
    lambda: os.symlink("/", "HOST_FOLDER/HOST_MARK"),
    lambda: os.chmod("HOST_CANARY", 0o777),
    lambda: os.truncate("HOST_CANARY", 0),
    lambda: os.mkdir("HOST_FOLDER/HOST_MARK2"),
):
    try:
        how()
    except OSError:
        pass


def double(x):
    return 2 * x
