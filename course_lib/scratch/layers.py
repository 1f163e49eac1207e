"""Layers by hand, in NumPy: the contract, the fully connected layer, the nonlinearities, the loss.

A layer is a function with a memory: `forward` computes y = f(x; w) and keeps what `backward` will need; `backward`
takes dz/dy, the derivative of one number z (the loss) with respect to its output, and returns dz/dx by the chain rule

    dz/dx = (dy/dx)ᵀ dz/dy        dz/dw = (dy/dw)ᵀ dz/dy

The first index of every array counts examples (N), images are (N, C, H, W), and dz/dy always has the shape of y.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from course_lib.errors import CourseError


class Layer:
    """The contract: `forward`, `backward`, `update`, and two dictionaries of arrays with the same keys and shapes.

    w: the parameters by name; empty for a layer that has none.
    dz_dw: the derivative of z with respect to each, written anew (not added to) by every `backward`.

    A layer that is used at two places of one network would need the sum over both; use two layers instead.
    """

    def __init__(self) -> None:
        self.w: dict[str, np.ndarray] = {}
        self.dz_dw: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        """y = f(x; w). Keeps what `backward` needs; leaves x as it was."""
        raise NotImplementedError

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        """dz/dx, of the shape of the last x; sets `dz_dw`. Leaves dz_dy as it was."""
        raise NotImplementedError

    def update(self, learning_rate: float) -> None:
        """One step downhill, in place: w ← w − learning_rate · dz/dw."""
        for name, gradient in self.dz_dw.items():
            self.w[name] -= learning_rate * gradient

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.forward(x)


class Sequential(Layer):
    """Layers in a row: x⁰ → f₁ → x¹ → f₂ → … ; `backward` visits them from the last to the first.

    Its w and dz_dw are its layers' own arrays, under the names "0.weight", "0.bias", ….
    """

    def __init__(self, *layers: Layer) -> None:
        self.layers: Sequence[Layer] = layers

    @property
    def w(self) -> dict[str, np.ndarray]:
        return {f"{k}.{name}": w for k, layer in enumerate(self.layers) for name, w in layer.w.items()}

    @property
    def dz_dw(self) -> dict[str, np.ndarray]:
        return {f"{k}.{name}": g for k, layer in enumerate(self.layers) for name, g in layer.dz_dw.items()}

    def forward(self, x: np.ndarray) -> np.ndarray:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        for layer in reversed(self.layers):
            dz_dy = layer.backward(dz_dy)
        return dz_dy

    def update(self, learning_rate: float) -> None:
        for layer in self.layers:
            layer.update(learning_rate)


class Linear(Layer):
    """The fully connected layer: a multiplication by a matrix, and a shift.

        y_n = W x_n + b,  for all rows at once  y = x Wᵀ + b
        dz/dx = (dz/dy) W      dz/dW = (dz/dy)ᵀ x      dz/db = Σ_n dz/dy_n

    Args:
        inputs, outputs: sizes; x is (N, inputs), y is (N, outputs).
        rng: draws W (outputs, inputs) ~ Normal(0, 2 / inputs), which keeps the size of activations through ReLUs
            (He et al. 2015, arXiv:1502.01852); b (outputs,) starts at zero.
        dtype: of the parameters; float64 where gradients are checked, float32 where speed counts.

    Raises:
        CourseError: x is not (N, inputs).
    """

    def __init__(self, inputs: int, outputs: int, *, rng: np.random.Generator, dtype: type = np.float64) -> None:
        super().__init__()
        weight = rng.normal(0, np.sqrt(2 / inputs), (outputs, inputs))
        self.w = {"weight": weight.astype(dtype), "bias": np.zeros(outputs, dtype)}

    def forward(self, x: np.ndarray) -> np.ndarray:
        inputs = self.w["weight"].shape[1]
        if x.ndim != 2 or x.shape[1] != inputs:
            raise CourseError(f"Linear expects (N, {inputs}) and got {x.shape}; is a Flatten missing before it?")
        self.x = x  # (N, inputs)
        return x @ self.w["weight"].T + self.w["bias"]  # (N, outputs)

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        self.dz_dw = {"weight": dz_dy.T @ self.x, "bias": dz_dy.sum(axis=0)}
        return dz_dy @ self.w["weight"]  # (N, inputs)


class Flatten(Layer):
    """(N, C, H, W) → (N, C·H·W): the same numbers, so the same derivatives in the old shape."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        return dz_dy.reshape(self.shape)


class ReLU(Layer):
    """y = max(x, 0), elementwise, any shape; dz/dx = dz/dy where x > 0, else 0 (at x = 0 too, as torch has it)."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.positive = x > 0
        return np.where(self.positive, x, 0)

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        return np.where(self.positive, dz_dy, 0)


class Tanh(Layer):
    """y = tanh x, elementwise, any shape; dz/dx = (1 − y²) dz/dy."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.y = np.tanh(x)
        return self.y

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        return (1 - self.y**2) * dz_dy


class Sigmoid(Layer):
    """y = 1 / (1 + e⁻ˣ), elementwise, any shape, without overflow; dz/dx = y (1 − y) dz/dy."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        small = np.exp(-np.abs(x))  # in (0, 1]: the exponential of a large positive number is never taken
        self.y = np.where(x >= 0, 1 / (1 + small), small / (1 + small))
        return self.y

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        return self.y * (1 - self.y) * dz_dy


class SoftmaxCrossEntropy(Layer):
    """The loss of a classifier: minus the log-probability of the right class, averaged over the batch.

        p_nk = exp s_nk / Σ_j exp s_nj        z = −(1/N) Σ_n log p_n,label(n)        dz/ds = (p − onehot) / N

    It is the last layer: `forward(scores, labels)` returns z in nats, and `backward()` starts the way back, from
    dz/dz = 1.

    Args of forward:
        scores: (N, K), any real numbers ("logits").
        labels: (N,), integers in 0..K − 1.

    Raises:
        CourseError: scores and labels do not fit each other.
    """

    def forward(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        labels = np.asarray(labels)
        if scores.ndim != 2 or labels.shape != (len(scores),):
            raise CourseError(f"Scores (N, K) and labels (N,) were expected, not {scores.shape} and {labels.shape}.")
        if labels.size == 0 or labels.min() < 0 or labels.max() >= scores.shape[1]:
            raise CourseError(f"Labels must lie in 0..{scores.shape[1] - 1}, and there must be at least one.")
        shifted = scores - scores.max(axis=1, keepdims=True)  # changes no probability, and exp cannot overflow
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # (N, K)
        self.p, self.labels = np.exp(log_p), labels
        return -log_p[np.arange(len(labels)), labels].mean()  # ()

    def backward(self, dz_dy: np.ndarray | float = 1.0) -> np.ndarray:
        gradient = self.p.copy()
        gradient[np.arange(len(self.labels)), self.labels] -= 1
        return gradient * (dz_dy / len(self.labels))  # (N, K)

    def __call__(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return self.forward(scores, labels)
