# ruff: noqa
"""Gives a lent object something of its own that never answers.

class: time
limits: question=1.5
"""

# %% descend
import time


class Silent:
    def __len__(self):
        return 3

    def __getitem__(self, place):
        time.sleep(1000)


def descend(layer, x, rate):
    return layer.forward(Silent())
