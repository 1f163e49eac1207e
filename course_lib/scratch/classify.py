"""A classifier of small images from our own layers, and the loop that trains it: no autograd, no torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from course_lib.errors import CourseError
from course_lib.scratch.images import Conv2d, MaxPool2d
from course_lib.scratch.layers import Flatten, Layer, Linear, ReLU, Sequential, SoftmaxCrossEntropy


def convolutional(
    *, rng: np.random.Generator, size: int = 8, maps: tuple[int, int] = (8, 16), classes: int = 10
) -> Sequential:
    """Two rounds of convolution, ReLU and max-pooling, then one matrix: (N, 1, size, size) → scores (N, classes).

    Each round keeps the size (3 × 3, padding 1) and then halves it (2 × 2); float32. At the defaults, 1,898 parameters.
    """
    if size < 4:
        raise CourseError(f"Two rounds of pooling need images of at least 4 x 4, not {size} x {size}.")
    (first, second) = maps
    return Sequential(
        Conv2d(1, first, 3, padding=1, rng=rng, dtype=np.float32),  # (N, 8, 8, 8)
        ReLU(),
        MaxPool2d(2),  # (N, 8, 4, 4)
        Conv2d(first, second, 3, padding=1, rng=rng, dtype=np.float32),  # (N, 16, 4, 4)
        ReLU(),
        MaxPool2d(2),  # (N, 16, 2, 2)
        Flatten(),
        Linear(second * (size // 4) ** 2, classes, rng=rng, dtype=np.float32),
    )


def train(
    network: Layer,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    steps: int,
    learning_rate: float = 0.15,
    batch: int = 16,
    seed: int = 0,
    loss: SoftmaxCrossEntropy | None = None,
    each_step: Callable[[Layer], None] | None = None,
) -> list[float]:
    """Stochastic gradient descent on the cross-entropy; the learning rate falls in a line to zero. Changes `network`.

    Args:
        images: (N, C, H, W); labels: (N,), integers.
        steps: updates of the parameters; `batch` examples each, fewer if there are not so many.
        seed: of the order of the examples, a new permutation each epoch.
        loss: the cross-entropy unless given.
        each_step: called with the network between backward and update, to look at its gradients or to spoil them.

    Returns:
        The loss of every step before its update, nats per image.
    """
    rng, losses = np.random.default_rng(seed), []
    loss = SoftmaxCrossEntropy() if loss is None else loss
    order = np.empty(0, int)
    batch = min(batch, len(images))
    for step in range(steps):
        if len(order) < batch:
            order = rng.permutation(len(images))
        chosen, order = order[:batch], order[batch:]
        losses.append(float(loss.forward(network.forward(images[chosen]), labels[chosen])))
        network.backward(loss.backward())
        if each_step is not None:
            each_step(network)
        network.update(learning_rate * (1 - step / steps))
    return losses


def accuracy(network: Layer, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of images whose right class has the largest score, 0 to 1."""
    return float((network.forward(images).argmax(axis=1) == labels).mean())


def moved(images: np.ndarray, *, rng: np.random.Generator, room: int = 4) -> np.ndarray:
    """Each image somewhere on a larger background of −1: (N, C, H, W) → (N, C, H + room, W + room)."""
    n, c, h, w = images.shape
    canvas = np.full((n, c, h + room, w + room), -1, images.dtype)
    for k, (top, left) in enumerate(rng.integers(0, room + 1, (n, 2))):
        canvas[k, :, top : top + h, left : left + w] = images[k]
    return canvas
