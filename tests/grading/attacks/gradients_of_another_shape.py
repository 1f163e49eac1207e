# ruff: noqa
"""Sends gradients of other shapes, types and numbers than were asked for.

class: forged gradients
"""

# %% line
import gc

runtime = next(o for o in gc.get_objects() if type(o).__name__ == "Runtime")


class Line(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        runtime._do_gradients = lambda question: {"gradients": [["float32", [1], [0], b"\0\0\0\0"]] * 3}

    def forward(self, x):
        return self.weight * x
