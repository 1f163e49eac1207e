# ruff: noqa
"""Computes for ever when it is asked for a gradient.

class: time
limits: question=1.5
"""


# %% line
class Endless(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        while True:
            pass


class Line(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x):
        return Endless.apply(self.weight * x)
