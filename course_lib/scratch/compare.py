"""Our layers beside torch's: layers of random shapes, and how far their results are apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from course_lib.scratch.images import Conv2d, MaxPool2d
from course_lib.scratch.layers import Flatten, Layer, Linear, ReLU, Sigmoid, SoftmaxCrossEntropy, Tanh


class Case(NamedTuple):
    """A layer, the torch function of (x, **w) that it must equal, its input, and what else forward takes."""

    layer: Layer
    function: Callable[..., torch.Tensor]
    x: np.ndarray
    more: tuple[Any, ...] = ()


def difference_from_torch(case: Case, *, seed: int = 1) -> dict[str, float]:
    """The largest difference from torch by name: "y", "x" (of dz/dx), and each parameter (of dz/dw).

    max |ours − torch's| / max(1, |torch's|); infinite where shapes differ. dz/dy is random.
    """
    layer, function, x, more = case
    y = layer.forward(x, *more)
    r = np.random.default_rng(seed).normal(size=np.shape(y))
    dz_dx = layer.backward(r)
    tx = torch.tensor(x, requires_grad=True)
    tw = {name: torch.tensor(w, requires_grad=True) for name, w in layer.w.items()}
    ty = function(tx, **tw)
    ty.backward(torch.as_tensor(r))
    pairs = {"y": (y, ty.detach()), "x": (dz_dx, tx.grad)}
    pairs |= {name: (layer.dz_dw.get(name), w.grad) for name, w in tw.items()}
    return {name: _difference(ours, theirs.numpy()) for name, (ours, theirs) in pairs.items()}


def _difference(ours: np.ndarray | None, theirs: np.ndarray) -> float:
    if ours is None or np.shape(ours) != theirs.shape:
        return float("inf")
    return float(np.max(np.abs(ours - theirs) / np.maximum(1, np.abs(theirs)), initial=0.0))


def _linear(rng: np.random.Generator) -> Case:
    n, inputs, outputs = rng.integers(1, 8, 3)
    layer = Linear(inputs, outputs, rng=rng)
    layer.w["bias"] += rng.normal(size=outputs)
    return Case(layer, F.linear, rng.normal(size=(n, inputs)))


def _conv(rng: np.random.Generator) -> Case:
    kernel, stride, padding = (tuple(map(int, rng.integers(*ends, 2))) for ends in ((1, 5), (1, 5), (0, 4)))
    n, s, t = rng.integers(1, 4, 3)
    h, w = np.maximum(rng.integers(1, 10, 2), np.array(kernel) - 2 * np.array(padding))  # the window must fit
    layer = Conv2d(s, t, kernel, rng=rng, stride=stride, padding=padding)
    layer.w["bias"] += rng.normal(size=t)
    return Case(
        layer,
        lambda x, weight, bias: F.conv2d(x, weight, bias, stride=stride, padding=padding),
        rng.normal(size=(n, s, h, w)),
    )


def _pool(rng: np.random.Generator) -> Case:
    kernel, stride = (tuple(map(int, rng.integers(1, 5, 2))) for _ in range(2))
    padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
    h, w = np.maximum(rng.integers(1, 10, 2), np.array(kernel) - 2 * np.array(padding))
    n, c = rng.integers(1, 4, 2)
    # whole numbers half of the time: then windows hold ties, and the first of the largest must win, as in torch
    x = rng.integers(-2, 3, (n, c, h, w)).astype(float) if rng.random() < 0.5 else rng.normal(size=(n, c, h, w))
    layer = MaxPool2d(kernel, stride=stride, padding=padding)
    return Case(layer, lambda x: F.max_pool2d(x, kernel, stride, padding), x)


def _elementwise(layer: type[Layer], function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., Case]:
    def case(rng: np.random.Generator) -> Case:
        x = 3 * rng.normal(size=tuple(rng.integers(1, 5, rng.integers(1, 5))))
        x.flat[0] = 0.0  # torch, too, says that a ReLU at zero passes nothing
        return Case(layer(), function, x)

    return case


def _loss(rng: np.random.Generator) -> Case:
    n, k = rng.integers(1, 7, 2)
    labels = rng.integers(0, k, n)
    function = lambda s: F.cross_entropy(s, torch.as_tensor(labels))  # noqa: E731
    return Case(SoftmaxCrossEntropy(), function, 3 * rng.normal(size=(n, k)), (labels,))


RANDOM: dict[str, Callable[[np.random.Generator], Case]] = {
    "Linear": _linear,
    "Conv2d": _conv,
    "MaxPool2d": _pool,
    "ReLU": _elementwise(ReLU, torch.relu),
    "Tanh": _elementwise(Tanh, torch.tanh),
    "Sigmoid": _elementwise(Sigmoid, torch.sigmoid),
    "Flatten": lambda rng: Case(Flatten(), torch.nn.Flatten(), rng.normal(size=tuple(rng.integers(1, 5, 4)))),
    "SoftmaxCrossEntropy": _loss,
}
