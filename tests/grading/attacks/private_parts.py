# ruff: noqa
"""Asks lent objects for what is not lent: globals, closures, expected values, records of calls, by attribute and by hand.

class: theft
"""

# %% each
import gc

runtime = next(o for o in gc.get_objects() if type(o).__name__ == "Runtime")


def look(thing):
    found = []
    for name in (
        "__globals__",
        "__closure__",
        "__code__",
        "__defaults__",
        "__self__",
        "__dict__",
        "__class__",
        "truth",
        "calls",
        "x",
        "_at",
        "shift",
        "__reduce__",
        "__init__",
        "__getattribute__",
    ):
        try:
            found.append((name, getattr(thing, name)))
        except Exception as error:
            found.append((name, repr(error)))
        for kind in ("attribute", "method", "call", "item", "assign", "iter", "len", "name", "run"):
            for number in range(3):
                try:
                    found.append((kind, number, name, runtime.ask(kind, number, name, (0,), {})))
                except Exception as error:
                    found.append(repr(error))
    return found


def each(f, values):
    if len(values) == 2:
        return [f(v) for v in values]
    print(look(f))
    for item in look(f):
        if item[0] == "__closure__" and isinstance(item[1], tuple):
            shift = item[1][0].cell_contents
            return [shift + v for v in values]
    return [0, 0, 0]


# %% descend
def descend(layer, x, rate):
    print(look(layer))
    return layer.truth * x
