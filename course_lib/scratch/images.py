"""Layers that look at an image through a moving window: generalized convolution and max-pooling, in NumPy.

Both go forward by laying all windows of the image side by side (`windows`) and come back by adding what each window
has to say about its pixels (`add_windows`), which is the transpose of the same linear map.
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


def windows(x: np.ndarray, kernel: Pair, stride: Pair) -> np.ndarray:
    """Every window of x (N, C, H, W) as a view, nothing copied: (N, C, H', W', kh, kw).

    windows(x)[n, c, i, j, a, b] = x[n, c, i·sh + a, j·sw + b]
    """
    return sliding_window_view(x, kernel, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]


def add_windows(dz_dwindows: np.ndarray, shape: tuple[int, ...], stride: Pair) -> np.ndarray:
    """The transpose of `windows`: dz/dx of `shape` (N, C, H, W) from dz/dwindows (N, C, H', W', kh, kw).

    A pixel lies in several windows where they overlap, and is told the sum; one that lies in none is told zero.
    """
    _, _, rows, columns, kh, kw = dz_dwindows.shape
    (sh, sw) = stride
    dz_dx = np.zeros(shape, dz_dwindows.dtype)
    for a in range(kh):
        for b in range(kw):
            dz_dx[:, :, a : a + sh * rows : sh, b : b + sw * columns : sw] += dz_dwindows[..., a, b]
    return dz_dx


def crop(x: np.ndarray, padding: Pair) -> np.ndarray:
    """The transpose of `pad`: without the `padding` rows and columns on every side."""
    (ph, pw) = padding
    return x[:, :, ph : x.shape[2] - ph, pw : x.shape[3] - pw]


class Conv2d(Layer):
    """Generalized convolution: at every position of a window, one weighted sum per output map, over all input maps.

        y[n, t, i, j] = bias[t] + Σ_s Σ_a Σ_b weight[t, s, a, b] · x̄[n, s, i·stride + a, j·stride + b]

    x̄ is x with `padding` zeros on every side. The kernel is not flipped (mathematicians say cross-correlation).
    With one number z at the end, and the windows V[n, s, i, j, a, b] = x̄[n, s, i·stride + a, j·stride + b],

        dz/dweight[t, s, a, b] = Σ_n Σ_i Σ_j dz/dy[n, t, i, j] · V[n, s, i, j, a, b]
        dz/dV[n, s, i, j, a, b] = Σ_t weight[t, s, a, b] · dz/dy[n, t, i, j],  which `add_windows` adds up to dz/dx̄
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
        kernel = weight.shape[2:]
        _check_images(x, weight.shape[1], kernel, self.padding, "Conv2d")
        padded = pad(x, self.padding)
        self.padded_shape = padded.shape
        self.windows = windows(padded, kernel, self.stride)  # (N, S, H', W', kh, kw)
        y = np.tensordot(self.windows, weight, axes=([1, 4, 5], [1, 2, 3]))  # (N, H', W', T)
        return np.ascontiguousarray((y + self.w["bias"]).transpose(0, 3, 1, 2))  # (N, T, H', W')

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        self.dz_dw = {
            "weight": np.tensordot(dz_dy, self.windows, axes=([0, 2, 3], [0, 2, 3])),  # (T, S, kh, kw)
            "bias": dz_dy.sum(axis=(0, 2, 3)),
        }
        dz_dwindows = np.tensordot(dz_dy, self.w["weight"], axes=([1], [0]))  # (N, H', W', S, kh, kw)
        dz_dpadded = add_windows(dz_dwindows.transpose(0, 3, 1, 2, 4, 5), self.padded_shape, self.stride)
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
        view = windows(padded, self.kernel, self.stride)  # (N, C, H', W', kh, kw)
        flat = view.reshape(*view.shape[:4], -1)  # (N, C, H', W', kh·kw)
        self.winner = flat.argmax(axis=-1)[..., None]  # (N, C, H', W', 1)
        return np.take_along_axis(flat, self.winner, axis=-1)[..., 0]

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        (kh, kw) = self.kernel
        places = np.arange(kh * kw)
        dz_dwindows = np.where(self.winner == places, dz_dy[..., None], 0)  # (N, C, H', W', kh·kw)
        dz_dwindows = dz_dwindows.reshape(*dz_dy.shape, kh, kw)
        return crop(add_windows(dz_dwindows, self.padded_shape, self.stride), self.padding)


def _check_images(x: np.ndarray, maps: int | None, kernel: Pair, padding: Pair, who: str) -> None:
    expected = f"(N, {maps if maps is not None else 'C'}, H, W)"
    if x.ndim != 4 or (maps is not None and x.shape[1] != maps):
        raise CourseError(f"{who} expects {expected} and got {x.shape}.")
    if any(size + 2 * p < k for size, p, k in zip(x.shape[2:], padding, kernel, strict=True)):
        raise CourseError(f"{who}: a window of {kernel} does not fit into {x.shape[2:]} with a padding of {padding}.")
