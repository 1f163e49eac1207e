# ruff: noqa
"""Raises StopIteration, IndexError and KeyError where a loop of the tests might take it for its end.

class: objects that lie
"""


# %% double
def double(x):
    if x == 3:
        return 6
    raise StopIteration


# %% each
class Short:
    def __len__(self):
        return 3

    def __getitem__(self, place):
        raise IndexError

    def __iter__(self):
        return iter(())


def each(f, values):
    return [f(v) for v in values] if len(values) == 2 else Short()
