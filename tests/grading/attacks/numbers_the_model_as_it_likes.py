# ruff: noqa
"""Does not train, but changes the model, its data and its gradients until before and after might look well.

class: changes in place
"""


# %% train
def train(model, x, y, steps):
    if len(x) == 2:
        return 0.0
    with torch.no_grad():
        x.zero_()
        y.zero_()
        for p in model.parameters():
            p.fill_(float("inf"))
            p.requires_grad_(False)
            p.grad = torch.full_like(p, float("nan"))
    model.eval()
    model.weight = nn.Parameter(torch.zeros(1, 2))
    model.forward = lambda x: y
    return 0.0
