# ruff: noqa
"""Computes the right value by a function whose gradient is what it likes: zero, NaN, or of another shape.

class: forged gradients
"""


# %% line
class Forged(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight, x):
        return weight * x

    @staticmethod
    def backward(ctx, gradient):
        return gradient.sum() * float("nan"), torch.zeros_like(gradient)


class Line(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x):
        return Forged.apply(self.weight, x)
