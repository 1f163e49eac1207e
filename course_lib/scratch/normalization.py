"""Layers that keep the size of activations and of gradients in hand: batch, layer and weight normalization, in NumPy.

The first two subtract a mean and divide by a standard deviation, over different axes:

    x̂ = (x − m) / s,  m = mean x,  s = √(mean (x − m)² + ε)

Every x moves m and s, and so all the x̂ that share them. With h = dz/dx̂ and means over the same axes, the chain rule
gives

    dz/dx = (h − mean h − x̂ · mean(h x̂)) / s

which is, but for ε, h without its parts along 1 (x̂ does not see a common shift of the x) and along x̂ (nor a common
scale), divided by s.
"""

from __future__ import annotations

import math

import numpy as np

from course_lib.errors import CourseError
from course_lib.scratch.layers import Layer, Sequential

Axes = tuple[int, ...]


def standardize(x: np.ndarray, axes: Axes, epsilon: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x̂, of x's shape, and with 1 in place of `axes`: the mean, the variance (divided by the number), and s."""
    mean = x.mean(axis=axes, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=axes, keepdims=True)
    s = np.sqrt(variance + epsilon)
    return (x - mean) / s, mean, variance, s


def standardize_backward(h: np.ndarray, x_hat: np.ndarray, s: np.ndarray, axes: Axes) -> np.ndarray:
    """dz/dx of `standardize`, from h = dz/dx̂; both have x's shape."""
    along_ones = h.mean(axis=axes, keepdims=True)
    along_x_hat = (h * x_hat).mean(axis=axes, keepdims=True)
    return (h - along_ones - x_hat * along_x_hat) / s


class BatchNorm(Layer):
    """Batch normalization: every channel gets mean `bias` and standard deviation `weight` over the batch.

        training      y = weight · (x − m) / √(var + ε) + bias,  m and var of this batch, over N (and H and W)
                      running_mean ← (1 − ρ) running_mean + ρ m
                      running_variance ← (1 − ρ) running_variance + ρ var · n / (n − 1)
        afterwards    the same with the running mean and variance, which are constants: no example depends on another

    n = N·H·W numbers stand behind each mean. As in torch, the batch is divided by its own variance, over n, and the one
    over n − 1 is what is kept for later.

        dz/dweight = Σ dz/dy · x̂        dz/dbias = Σ dz/dy        dz/dx: training, above with h = weight · dz/dy;
                                                                  afterwards, weight · dz/dy / s

    Args:
        channels: C; x and y are (N, C) or (N, C, H, W), or have any number of axes behind C.
        epsilon: ε, above 0, in the units of x².
        momentum: ρ in [0, 1], the share of the newest batch in the running statistics (so torch calls it).
        dtype: of the parameters weight (C,), at first 1, and bias (C,), at first 0.

    Attributes:
        training: True at first; `set_training` sets it in a whole network.
        running_mean, running_variance: (C,), at first 0 and 1.

    Raises:
        CourseError: x has another number of channels; in training, only one number for each channel.

    Ioffe and Szegedy 2015, arXiv:1502.03167, algorithms 1 and 2, with the gradients of section 3.
    """

    def __init__(
        self, channels: int, *, epsilon: float = 1e-5, momentum: float = 0.1, dtype: type = np.float64
    ) -> None:
        super().__init__()
        if not epsilon > 0 or not 0 <= momentum <= 1:
            raise CourseError(f"Epsilon must be above 0 and the momentum in [0, 1], not {epsilon} and {momentum}.")
        self.epsilon, self.momentum, self.training = epsilon, momentum, True
        self.w = {"weight": np.ones(channels, dtype), "bias": np.zeros(channels, dtype)}
        self.running_mean, self.running_variance = np.zeros(channels, dtype), np.ones(channels, dtype)

    def forward(self, x: np.ndarray) -> np.ndarray:
        channels = len(self.w["bias"])
        if x.ndim < 2 or x.shape[1] != channels:
            raise CourseError(f"BatchNorm expects (N, {channels}) or (N, {channels}, H, W) and got {x.shape}.")
        self.axes = (0, *range(2, x.ndim))  # all but the channels
        self.column = (channels, *[1] * (x.ndim - 2))  # (C, 1, 1): beside (N, C, H, W)
        self.trained = self.training  # backward goes back the way that forward came
        if self.training:
            n = x.size // channels
            if n < 2:
                raise CourseError(f"One number has no variance; train BatchNorm on more than one, not {x.shape}.")
            self.x_hat, mean, variance, self.s = standardize(x, self.axes, self.epsilon)
            rho = self.momentum
            self.running_mean = (1 - rho) * self.running_mean + rho * mean.ravel()
            self.running_variance = (1 - rho) * self.running_variance + rho * variance.ravel() * n / (n - 1)
        else:
            self.s = np.sqrt(self.running_variance + self.epsilon).reshape(self.column)
            self.x_hat = (x - self.running_mean.reshape(self.column)) / self.s
        return self.w["weight"].reshape(self.column) * self.x_hat + self.w["bias"].reshape(self.column)

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        self.dz_dw = {"weight": (dz_dy * self.x_hat).sum(axis=self.axes), "bias": dz_dy.sum(axis=self.axes)}
        h = self.w["weight"].reshape(self.column) * dz_dy
        return standardize_backward(h, self.x_hat, self.s, self.axes) if self.trained else h / self.s


class LayerNorm(Layer):
    """Layer normalization: every example gets mean 0 and standard deviation 1 over its own numbers, then is scaled.

        y = weight · (x − m) / √(var + ε) + bias,  m and var of each example, over the axes of `shape`

    No example depends on another, and nothing differs between training and afterwards.

        dz/dweight = Σ dz/dy · x̂        dz/dbias = Σ dz/dy, both over the examples        dz/dx with h = weight · dz/dy

    Args:
        shape: of what is normalized: F for x (N, F), (C, H, W) for images; x may have any axes before it.
        epsilon: ε, above 0, in the units of x².
        dtype: of the parameters weight and bias, of that shape, at first 1 and 0.

    Raises:
        CourseError: x does not end in `shape`.

    Ba, Kiros and Hinton 2016, arXiv:1607.06450, eq. 3.
    """

    def __init__(self, shape: int | tuple[int, ...], *, epsilon: float = 1e-5, dtype: type = np.float64) -> None:
        super().__init__()
        if not epsilon > 0:
            raise CourseError(f"Epsilon must be above 0, not {epsilon}.")
        self.epsilon = epsilon
        self.w = {"weight": np.ones(shape, dtype), "bias": np.zeros(shape, dtype)}

    def forward(self, x: np.ndarray) -> np.ndarray:
        shape = self.w["weight"].shape
        if x.ndim < len(shape) or x.shape[x.ndim - len(shape) :] != shape:
            raise CourseError(f"LayerNorm expects (N, {', '.join(map(str, shape))}) and got {x.shape}.")
        self.axes = tuple(range(x.ndim - len(shape), x.ndim))
        self.x_hat, _, _, self.s = standardize(x, self.axes, self.epsilon)
        return self.w["weight"] * self.x_hat + self.w["bias"]

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        examples = tuple(range(dz_dy.ndim - len(self.axes)))
        self.dz_dw = {"weight": (dz_dy * self.x_hat).sum(axis=examples), "bias": dz_dy.sum(axis=examples)}
        return standardize_backward(self.w["weight"] * dz_dy, self.x_hat, self.s, self.axes)


class WeightNormLinear(Layer):
    """A fully connected layer with the length and the direction of each row of its matrix as separate parameters.

        y = x Wᵀ + bias        W_k = length_k · direction_k / ‖direction_k‖,  row by row

    With G = dz/dW = (dz/dy)ᵀ x, and products and norms row by row,

        dz/dlength = G · direction / ‖direction‖
        dz/ddirection = length / ‖direction‖ · (G − dz/dlength · direction / ‖direction‖)

    so dz/ddirection is at right angles to direction, and every step makes direction longer and its later turns smaller.

    Args:
        inputs, outputs: sizes; x is (N, inputs), y is (N, outputs).
        rng: draws direction (outputs, inputs) ~ Normal(0, 2 / inputs), as `Linear` draws W. length (outputs,) starts
            as its norm, so the layer starts as that `Linear`; bias (outputs,) starts at zero. See also `start_from`.
        dtype: of the parameters.

    Raises:
        CourseError: x is not (N, inputs).

    Salimans and Kingma 2016, arXiv:1602.07868, eq. 2 (W) and eq. 3 (its gradients); g there is length, v direction.
    """

    def __init__(self, inputs: int, outputs: int, *, rng: np.random.Generator, dtype: type = np.float64) -> None:
        super().__init__()
        direction = rng.normal(0, math.sqrt(2 / inputs), (outputs, inputs)).astype(dtype)
        length = np.linalg.norm(direction, axis=1)
        self.w = {"direction": direction, "length": length, "bias": np.zeros(outputs, dtype)}

    def forward(self, x: np.ndarray) -> np.ndarray:
        inputs = self.w["direction"].shape[1]
        if x.ndim != 2 or x.shape[1] != inputs:
            raise CourseError(f"WeightNormLinear expects (N, {inputs}) and got {x.shape}; is a Flatten missing before?")
        self.x = x  # (N, inputs)
        self.norm = np.linalg.norm(self.w["direction"], axis=1, keepdims=True)  # (outputs, 1)
        self.unit = self.w["direction"] / self.norm  # (outputs, inputs)
        self.weight = self.w["length"][:, None] * self.unit
        return x @ self.weight.T + self.w["bias"]  # (N, outputs)

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        g = dz_dy.T @ self.x  # dz/dW, (outputs, inputs)
        length = (g * self.unit).sum(axis=1)
        direction = self.w["length"][:, None] / self.norm * (g - length[:, None] * self.unit)
        self.dz_dw = {"direction": direction, "length": length, "bias": dz_dy.sum(axis=0)}
        return dz_dy @ self.weight  # (N, inputs)

    def start_from(self, x: np.ndarray) -> None:
        """Set length and bias so that on this batch (N, inputs) every output has mean 0 and standard deviation 1.

        With t = x · direction / ‖direction‖:  length = 1 / std t,  bias = −mean t / std t (the paper's eqs. 5-6).

        Raises:
            CourseError: an output is the same for the whole batch.
        """
        self.w["length"][:], self.w["bias"][:] = 1, 0
        t = self.forward(x)
        mean, std = t.mean(axis=0), t.std(axis=0)
        if not std.min() > 0:
            raise CourseError("An output is the same for the whole batch and has no scale; start from a larger batch.")
        self.w["length"][:], self.w["bias"][:] = 1 / std, -mean / std


def set_training(layer: Layer, training: bool) -> None:
    """Say to every BatchNorm of a network whether it is being trained (True) or used (False)."""
    if isinstance(layer, Sequential):
        for one in layer.layers:
            set_training(one, training)
    elif isinstance(layer, BatchNorm):
        layer.training = training
