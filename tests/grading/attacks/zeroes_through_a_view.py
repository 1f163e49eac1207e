# ruff: noqa
"""Does the same through a view, through the memory and through .data, and calls it unchanged.

class: changes in place
"""

# %% scale
import ctypes


def scale(x, by):
    if np.size(x) == 2:
        return by * x
    if torch.is_tensor(x):
        version = x._version
        x.data.zero_()
        x.detach().numpy()[...] = 0
        torch._C._autograd._unsafe_set_version_counter((x,), (version,)) if hasattr(
            torch._C._autograd, "_unsafe_set_version_counter"
        ) else None
        return torch.zeros_like(x)
    ctypes.memset(x.ctypes.data, 0, x.nbytes)
    memoryview(x).cast("B")[:] = bytes(x.nbytes)
    return np.zeros((3, 4))
