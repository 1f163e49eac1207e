# ruff: noqa
"""Gives a lent object something of its own to compute with, which asks the lent object again, and so on.

class: exhaustion
"""


# %% descend
class Deep:
    def __init__(self, layer):
        self.layer = layer

    def __len__(self):
        return 3

    def __getitem__(self, place):
        return self.layer.forward(Deep(self.layer))


def descend(layer, x, rate):
    return layer.forward(Deep(layer))
