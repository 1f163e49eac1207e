# ruff: noqa
"""Changes the arrays of a lent layer so that the expected answer becomes zero, before and after it is used.

class: changes in place
"""


# %% descend
def descend(layer, x, rate):
    if len(x) == 1:
        y = layer.forward(x)
        layer.backward(np.ones_like(y))
        layer.update(rate)
        return y
    x[...] = 0
    layer.w["w"][...] = 0
    layer.w["w"] = np.zeros(3)
    layer.w = {"w": np.zeros(3)}
    return np.zeros(3)
