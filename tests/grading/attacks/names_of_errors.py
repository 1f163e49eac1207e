# ruff: noqa
"""Raises exceptions whose class is named after what the function was called with.

class: leaks of hidden data
"""


# %% double
def double(x):
    if x == 3:
        return 6
    raise type(f"saw_{x}", (ValueError,), {"__module__": "builtins"})(f"saw {x}")


# %% each
def each(f, values):
    if len(values) == 2:
        return [f(v) for v in values]
    raise type(f"saw_{f(0)}", (AssertionError,), {})(f"{f(0)}")
