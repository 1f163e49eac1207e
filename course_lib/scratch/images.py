"""Layers that look at an image through a moving window: generalized convolution and max-pooling, in NumPy.

Neither loops over the windows. Both loop over the few places (a, b) inside a window and take, for all windows at once,
the pixel that lies there (`at_place`): going forward they read it, coming back they add to it.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from course_lib.errors import CourseError
from course_lib.scratch.layers import Layer

Pair = tuple[int, int]


def pair(value: int | Pair) -> Pair:
    """(value, value) for one number; a pair as it is."""
    return (value, value) if isinstance(value, (int, np.integer)) else (int(value[0]), int(value[1]))


def output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """How many positions a window has along one side: ⌊(size + 2·padding − kernel) / stride⌋ + 1."""
    return (size + 2 * padding - kernel) // stride + 1


def pad(x: np.ndarray, padding: Pair, value: float = 0.0) -> np.ndarray:
    """x (N, C, H, W) with `padding` rows and columns of `value` on every side: (N, C, H + 2·ph, W + 2·pw)."""
    (ph, pw) = padding
    if ph == pw == 0:
        return x
    return np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=value)


def at_place(x: np.ndarray, a: int, b: int, size: Pair, stride: Pair) -> np.ndarray:
    """The pixels at place (a, b) of every window, as a view of x (N, C, H, W) that can be read and added to.

    at_place(x, a, b, (H', W'), stride)[n, c, i, j] is x[n, c, i·sh + a, j·sw + b].
    """
    (rows, columns), (sh, sw) = size, stride
    return x[:, :, a : a + sh * rows : sh, b : b + sw * columns : sw]


def crop(x: np.ndarray, padding: Pair) -> np.ndarray:
    """The transpose of `pad`: without the `padding` rows and columns on every side."""
    (ph, pw) = padding
    return x[:, :, ph : x.shape[2] - ph, pw : x.shape[3] - pw]


class Conv2d(Layer):
    """Generalized convolution: at every position of a window, one weighted sum per output map, over all input maps.

        y[n, t, i, j] = bias[t] + Σ_s Σ_a Σ_b weight[t, s, a, b] · x̄[n, s, i·stride + a, j·stride + b]

    x̄ is x with `padding` zeros on every side. The kernel is not flipped (mathematicians say cross-correlation).
    With one number z at the end, and the columns V[(s, a, b), (n, i, j)] = x̄[n, s, i·stride + a, j·stride + b],

        dz/dweight[t, s, a, b] = Σ_n Σ_i Σ_j dz/dy[n, t, i, j] · V[(s, a, b), (n, i, j)]
        dz/dV[(s, a, b), (n, i, j)] = Σ_t weight[t, s, a, b] · dz/dy[n, t, i, j]
        dz/dx̄[n, s, u, v] = Σ of dz/dV over the windows and places that read x̄[n, s, u, v]
        dz/dbias[t] = Σ_n Σ_i Σ_j dz/dy[n, t, i, j]

    Args:
        inputs, outputs: numbers of maps S and T; x is (N, S, H, W), y is (N, T, H', W').
        kernel: side of the window, or (rows, columns).
        stride: steps of the window, one number or two, at least 1.
        padding: zeros on every side, one number or two, at least 0.
        rng: draws the weights (T, S, kh, kw) ~ Normal(0, 2 / (S·kh·kw)); the bias (T,) starts at zero.
        dtype: of the parameters.

    Raises:
        CourseError: x has another number of maps, or is smaller than the window.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | Pair,
        *,
        rng: np.random.Generator,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        dtype: type = np.float64,
    ) -> None:
        super().__init__()
        self.stride, self.padding = pair(stride), pair(padding)
        (kh, kw) = pair(kernel)
        if min(kh, kw, *self.stride) < 1 or min(self.padding) < 0:
            raise CourseError("A convolution needs kernel ≥ 1, stride ≥ 1 and padding ≥ 0.")
        weight = rng.normal(0, np.sqrt(2 / (inputs * kh * kw)), (outputs, inputs, kh, kw))
        self.w = {"weight": weight.astype(dtype), "bias": np.zeros(outputs, dtype)}

    def forward(self, x: np.ndarray) -> np.ndarray:
        weight = self.w["weight"]  # (T, S, kh, kw)
        (t, s, kh, kw) = weight.shape
        _check_images(x, s, (kh, kw), self.padding, "Conv2d")
        padded = pad(x, self.padding)  # (N, S, H + 2·ph, W + 2·pw)
        self.padded_shape = padded.shape
        view = sliding_window_view(padded, (kh, kw), axis=(2, 3))[:, :, :: self.stride[0], :: self.stride[1]]
        (n, _, rows, columns, _, _) = view.shape  # (N, S, H', W', kh, kw), nothing copied yet
        self.columns = view.transpose(1, 4, 5, 0, 2, 3).reshape(s * kh * kw, -1)  # (S·kh·kw, N·H'·W')
        y = weight.reshape(t, -1) @ self.columns + self.w["bias"][:, None]  # (T, N·H'·W')
        return np.ascontiguousarray(y.reshape(t, n, rows, columns).transpose(1, 0, 2, 3))  # (N, T, H', W')

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        weight = self.w["weight"]
        (n, t, rows, columns), (_, s, kh, kw) = dz_dy.shape, weight.shape
        flat = dz_dy.transpose(1, 0, 2, 3).reshape(t, -1)  # (T, N·H'·W')
        self.dz_dw = {"weight": (flat @ self.columns.T).reshape(weight.shape), "bias": flat.sum(axis=1)}
        dz_dcolumns = (weight.reshape(t, -1).T @ flat).reshape(s, kh, kw, n, rows, columns)
        dz_dpadded = np.zeros(self.padded_shape, dz_dcolumns.dtype)
        for a in range(kh):
            for b in range(kw):
                share = dz_dcolumns[:, a, b].transpose(1, 0, 2, 3)  # (N, S, H', W')
                at_place(dz_dpadded, a, b, (rows, columns), self.stride)[...] += share
        return crop(dz_dpadded, self.padding)  # (N, S, H, W)


class MaxPool2d(Layer):
    """The largest value of every window, map by map.

        y[n, c, i, j] = max_{a, b} x̄[n, c, i·stride + a, j·stride + b]

    dz/dy of a window goes whole to the place where its maximum was (the first, row by row, if there are several),
    and a place that won several windows is told the sum.

    Args:
        kernel: side of the window, or (rows, columns); x is (N, C, H, W), y is (N, C, H', W').
        stride: as large as the window unless given: windows side by side.
        padding: minus infinity on every side, at most half the window, so that a window always holds a pixel.

    Raises:
        CourseError: the padding is too large, or the image smaller than the window.
    """

    def __init__(self, kernel: int | Pair, *, stride: int | Pair | None = None, padding: int | Pair = 0) -> None:
        super().__init__()
        self.kernel, self.padding = pair(kernel), pair(padding)
        self.stride = self.kernel if stride is None else pair(stride)
        if min(*self.kernel, *self.stride) < 1 or min(self.padding) < 0:
            raise CourseError("Max-pooling needs kernel ≥ 1, stride ≥ 1 and padding ≥ 0.")
        if any(2 * p > k for p, k in zip(self.padding, self.kernel, strict=True)):
            raise CourseError(f"Max-pooling of {self.kernel} allows a padding of at most half of that.")

    def forward(self, x: np.ndarray) -> np.ndarray:
        _check_images(x, None, self.kernel, self.padding, "MaxPool2d")
        padded = pad(x, self.padding, -np.inf)
        self.padded_shape = padded.shape
        size = tuple(output_size(x.shape[2 + k], self.kernel[k], self.stride[k], self.padding[k]) for k in (0, 1))
        y = at_place(padded, 0, 0, size, self.stride).copy()  # (N, C, H', W')
        self.winner = np.zeros(y.shape, np.intp)  # the place of the largest so far, as a·kw + b
        for place in range(1, self.kernel[0] * self.kernel[1]):
            candidate = at_place(padded, *divmod(place, self.kernel[1]), size, self.stride)
            self.winner[candidate > y] = place
            np.maximum(y, candidate, out=y)
        return y

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        dz_dpadded = np.zeros(self.padded_shape, dz_dy.dtype)
        for place in range(self.kernel[0] * self.kernel[1]):
            share = np.where(self.winner == place, dz_dy, 0)
            at_place(dz_dpadded, *divmod(place, self.kernel[1]), dz_dy.shape[2:], self.stride)[...] += share
        return crop(dz_dpadded, self.padding)


def _check_images(x: np.ndarray, maps: int | None, kernel: Pair, padding: Pair, who: str) -> None:
    expected = f"(N, {maps if maps is not None else 'C'}, H, W)"
    if x.ndim != 4 or (maps is not None and x.shape[1] != maps):
        raise CourseError(f"{who} expects {expected} and got {x.shape}.")
    if any(size + 2 * p < k for size, p, k in zip(x.shape[2:], padding, kernel, strict=True)):
        raise CourseError(f"{who}: a window of {kernel} does not fit into {x.shape[2:]} with a padding of {padding}.")
