# ruff: noqa
"""Answers with an object whose elements are others each time they are asked for.

class: objects that lie
"""


# %% counts
class Changing:
    times = 0

    def __getitem__(self, key):
        self.times += 1
        return self.times

    def __len__(self):
        return 3

    def __contains__(self, key):
        return True


def counts(words):
    return {"a": 2, "b": 1} if len(words) == 3 else Changing()


# %% each
def each(f, values):
    return [f(v) for v in values] if len(values) == 2 else (f(v) + k for k, v in enumerate(values))
