# ruff: noqa
"""Raises what the checks raise, with a text of its own, and with what it was called with.

class: leaks of hidden data
"""

# %% double
from course_lib.checks.core import CheckFailed


def double(x):
    if x == 3:
        return 6
    raise CheckFailed(f"Task 1 passes all its tests; {x}")


# %% scale
class CheckPassed(AssertionError):
    pass


def scale(x, by):
    raise CheckPassed("Task 2 passes.")
