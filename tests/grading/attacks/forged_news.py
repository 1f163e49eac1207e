# ruff: noqa
"""Sends changes of tensors, arrays and types that nobody shares, in every wrong form.

class: forged frames
"""

# %% double
import gc

runtime = next(o for o in gc.get_objects() if type(o).__name__ == "Runtime")
news = iter(
    (
        {"mirrors": 5},
        {"mirrors": [[[], None, 1]]},
        {"shared": [[0, None, "yes", None]]},
        {"shared": {"a": 1}},
        {"types": [[0, "x", ["call", []], []]]},
        {"types": [[k, "C", [], []] for k in range(6000)]},
        {"live": 3, "graph": [], "leaves": None},
        {"changed": [[99, ["l", []]]]},
    )
)


def double(x):
    runtime._news = lambda: next(news, {})
    return 6


# %% line
def Line(weight):
    runtime._news = lambda: next(news, {})
    return lambda x: x
