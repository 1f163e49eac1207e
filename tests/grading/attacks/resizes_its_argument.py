# ruff: noqa
"""Gives its tensor and its array other sizes, storages and types.

class: changes in place
"""


# %% scale
def scale(x, by):
    if np.size(x) == 2:
        return by * x
    if torch.is_tensor(x):
        x.resize_(0)
        x.set_(torch.empty(0, dtype=x.dtype))
        return x
    try:
        x.resize((0, 4), refcheck=False)
    except ValueError:
        x.shape = (12, 1)
    x.dtype = np.int8
    return x
