"""Layers whose `backward` is wrong on purpose: the mistakes people make, each in the two or three lines that differ.

Every `Planted` comes with an input on which a gradient check must catch it. The forwards are all right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from course_lib.scratch.images import Conv2d, MaxPool2d, at_place, crop
from course_lib.scratch.layers import Flatten, Layer, Linear, ReLU, Sigmoid, SoftmaxCrossEntropy, Tanh


class LinearNotTransposed(Linear):
    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        super().backward(dz_dy)
        return dz_dy @ self.w["weight"].T  # fits only where W is square


class LinearMeanBias(Linear):
    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        dz_dx = super().backward(dz_dy)
        self.dz_dw["bias"] = dz_dy.mean(axis=0)
        return dz_dx


class LinearWrongSign(Linear):
    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        dz_dx = super().backward(dz_dy)
        self.dz_dw["weight"] = -self.dz_dw["weight"]
        return dz_dx


class LinearAddsUp(Linear):
    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        before = self.dz_dw
        dz_dx = super().backward(dz_dy)
        for name in before:
            self.dz_dw[name] = self.dz_dw[name] + before[name]
        return dz_dx


class LinearRemembersFirst(Linear):
    def forward(self, x: np.ndarray) -> np.ndarray:
        first = getattr(self, "x", None)
        y = super().forward(x)
        self.x = x if first is None or first.shape != x.shape else first
        return y


class ReLUMasksGradient(ReLU):
    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        return np.maximum(dz_dy, 0)


class ReLUInPlace(ReLU):
    def forward(self, x: np.ndarray) -> np.ndarray:
        self.positive = x > 0
        return np.maximum(x, 0, out=x)


class TanhOfInput(Tanh):
    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return super().forward(x)

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        return (1 - self.x**2) * dz_dy


class SigmoidForgetsChain(Sigmoid):
    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        return self.y * (1 - self.y)


class ConvNotFlipped(Conv2d):
    """dz/dx as the convolution of dz/dy with the kernel as it is, which should be turned by half a turn."""

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        super().backward(dz_dy)
        right, gradients = self.w["weight"], self.dz_dw
        self.w["weight"] = right[:, :, ::-1, ::-1]
        dz_dx = super().backward(dz_dy)
        self.w["weight"], self.dz_dw = right, gradients
        return dz_dx


class ConvOverwrites(Conv2d):
    """= where += belongs: of the windows that share a pixel only the last is heard."""

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        super().backward(dz_dy)
        dz_dpadded = np.zeros(self.padded_shape)
        (kh, kw) = self.w["weight"].shape[2:]
        for a in range(kh):
            for b in range(kw):
                share = np.einsum("ntij,ts->nsij", dz_dy, self.w["weight"][:, :, a, b])
                at_place(dz_dpadded, a, b, dz_dy.shape[2:], self.stride)[...] = share
        return crop(dz_dpadded, self.padding)


class ConvCropsOneSide(Conv2d):
    """The padding cut from the end only, so that every gradient lands beside its pixel."""

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        (ph, pw), (_, _, height, width) = self.padding, self.padded_shape
        self.padding = (0, 0)
        dz_dpadded = super().backward(dz_dy)
        self.padding = (ph, pw)
        return dz_dpadded[:, :, : height - 2 * ph, : width - 2 * pw]


class ConvMeanOverBatch(Conv2d):
    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        dz_dx = super().backward(dz_dy)
        self.dz_dw["weight"] = self.dz_dw["weight"] / len(dz_dy)
        return dz_dx


class PoolOverwrites(MaxPool2d):
    """= where += belongs: a pixel that won several windows is paid for one."""

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        dz_dpadded = np.zeros(self.padded_shape)
        for place in range(self.kernel[0] * self.kernel[1]):
            view = at_place(dz_dpadded, *divmod(place, self.kernel[1]), dz_dy.shape[2:], self.stride)
            view[...] = np.where(self.winner == place, dz_dy, view)
        return crop(dz_dpadded, self.padding)


class PoolShares(MaxPool2d):
    """The gradient spread over the window, as for average pooling."""

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        dz_dpadded = np.zeros(self.padded_shape)
        places = self.kernel[0] * self.kernel[1]
        for place in range(places):
            view = at_place(dz_dpadded, *divmod(place, self.kernel[1]), dz_dy.shape[2:], self.stride)
            view += dz_dy / places
        return crop(dz_dpadded, self.padding)


class FlattenOtherOrder(Flatten):
    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        return dz_dy.reshape(self.shape[0], *self.shape[:0:-1]).transpose(0, 3, 2, 1)


class LossForgetsMean(SoftmaxCrossEntropy):
    def backward(self, dz_dy: np.ndarray | float = 1.0) -> np.ndarray:
        return super().backward(dz_dy) * len(self.labels)


class LossForgetsLabel(SoftmaxCrossEntropy):
    def backward(self, dz_dy: np.ndarray | float = 1.0) -> np.ndarray:
        return self.p * (dz_dy / len(self.labels))


@dataclass(frozen=True)
class Planted:
    """A planted bug: its name in words, how to build the layer, and the shapes on which to try it."""

    name: str
    build: Callable[[np.random.Generator], Layer]
    shape: tuple[int, ...]  # an input on which a check must catch it
    easy: tuple[int, ...]  # the input a careless tester picks: a batch of one, windows that never meet, …
    build_easy: Callable[[np.random.Generator], Layer] | None = None  # the layer that goes with it, if another
    classes: int = 0  # for a loss: labels below this go in as well

    def layer_and_input(self, rng: np.random.Generator, *, easy: bool = False) -> tuple[Layer, tuple[np.ndarray, ...]]:
        """The broken layer and random arguments of its forward, of the telling shape or of a careless tester's."""
        layer = (self.build_easy if easy and self.build_easy else self.build)(rng)
        x = rng.normal(size=self.easy if easy else self.shape)
        return layer, ((x, rng.integers(0, self.classes, len(x))) if self.classes else (x,))


BUGS = (
    Planted("Linear: W not transposed", lambda rng: LinearNotTransposed(4, 4, rng=rng), (3, 4), (1, 4)),
    Planted("Linear: bias gradient is a mean", lambda rng: LinearMeanBias(4, 3, rng=rng), (5, 4), (1, 4)),
    Planted("Linear: weight gradient has the wrong sign", lambda rng: LinearWrongSign(4, 3, rng=rng), (5, 4), (1, 4)),
    Planted("Linear: adds to the last batch's gradient", lambda rng: LinearAddsUp(4, 3, rng=rng), (5, 4), (1, 4)),
    Planted("Linear: remembers the first batch", lambda rng: LinearRemembersFirst(4, 3, rng=rng), (5, 4), (1, 4)),
    Planted("ReLU: masks dz/dy instead of x", lambda rng: ReLUMasksGradient(), (5, 4), (1, 4)),
    Planted("ReLU: works in place", lambda rng: ReLUInPlace(), (5, 4), (1, 4)),
    Planted("Tanh: 1 − x² instead of 1 − y²", lambda rng: TanhOfInput(), (5, 4), (1, 4)),
    Planted("Sigmoid: forgets to multiply by dz/dy", lambda rng: SigmoidForgetsChain(), (5, 4), (1, 4)),
    Planted(
        "Conv2d: kernel turned the wrong way",
        lambda rng: ConvNotFlipped(2, 3, 3, padding=1, rng=rng),
        (2, 2, 5, 5),
        (1, 1, 3, 3),
        lambda rng: ConvNotFlipped(1, 1, 1, rng=rng),
    ),
    Planted(
        "Conv2d: = where += belongs",
        lambda rng: ConvOverwrites(2, 3, 3, stride=2, padding=1, rng=rng),
        (2, 2, 6, 5),
        (1, 1, 4, 4),
        lambda rng: ConvOverwrites(1, 1, 2, stride=2, rng=rng),
    ),
    Planted(
        "Conv2d: padding cut from one side",
        lambda rng: ConvCropsOneSide(2, 3, 3, padding=1, rng=rng),
        (2, 2, 5, 5),
        (1, 1, 4, 4),
        lambda rng: ConvCropsOneSide(1, 1, 3, rng=rng),
    ),
    Planted(
        "Conv2d: weight gradient is a batch mean",
        lambda rng: ConvMeanOverBatch(2, 3, 3, rng=rng),
        (3, 2, 5, 4),
        (1, 2, 5, 5),
    ),
    Planted(
        "MaxPool2d: = where += belongs",
        lambda rng: PoolOverwrites(3, stride=1),
        (2, 2, 6, 6),
        (1, 1, 6, 6),
        lambda rng: PoolOverwrites(3),
    ),
    Planted("MaxPool2d: shares instead of choosing", lambda rng: PoolShares(2), (2, 2, 4, 6), (1, 1, 4, 4)),
    Planted("Flatten: comes back in another order", lambda rng: FlattenOtherOrder(), (2, 3, 4, 5), (1, 1, 4, 4)),
    Planted("Loss: forgets the mean", lambda rng: LossForgetsMean(), (5, 3), (1, 3), classes=3),
    Planted("Loss: forgets the label", lambda rng: LossForgetsLabel(), (5, 3), (1, 3), classes=3),
)
