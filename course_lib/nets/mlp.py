"""Multilayer perceptrons: the generator and the critic of everything small enough for a CPU."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from course_lib.nets.minibatch import MinibatchDiscrimination


def leaky() -> nn.Module:
    """LeakyReLU with slope .2, DCGAN's choice for critics (Radford et al. 2016, section 3)."""
    return nn.LeakyReLU(0.2)


class MLP(nn.Sequential):
    """Linear layers with an activation after each but the last: sizes[0] -> ... -> sizes[-1].

    Args:
        sizes: at least two numbers of units.
        activation: makes the activation, e.g. nn.ReLU.
        batch_norm: batch normalization between each hidden linear layer and its activation.
        dropout: probability of dropping a hidden unit.
        last: also activate (and normalise) the last layer, for a stack that ends in features.

    Shapes: (N, sizes[0]) -> (N, sizes[-1]).
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: Callable[[], nn.Module] = nn.ReLU,
        batch_norm: bool = False,
        dropout: float = 0.0,
        last: bool = False,
    ) -> None:
        layers: list[nn.Module] = []
        for i, (inside, outside) in enumerate(itertools.pairwise(sizes)):
            hidden = last or i < len(sizes) - 2
            layers.append(nn.Linear(inside, outside, bias=not (hidden and batch_norm)))
            if hidden:
                layers += [nn.BatchNorm1d(outside)] if batch_norm else []
                layers += [activation()]
                layers += [nn.Dropout(dropout)] if dropout else []
        super().__init__(*layers)


class Generator(nn.Module):
    """Noise (and a label) to a point or an image: an MLP whose output is given a shape.

    Args:
        noise_size: Z.
        hidden: units of each hidden layer.
        out_shape: shape of what is drawn: (2,) for points, (1, 8, 8) for images.
        classes: number of labels; 0 takes none. A label enters as a one-hot vector beside the noise.
        bounded: end in tanh, so that values lie in [-1, 1]; for images.
        activation, batch_norm: of the hidden layers.

    Shapes: noise (N, Z)[, label (N,) int64 in 0..classes-1] -> (N, *out_shape).

    Goodfellow et al. 2014; with labels, Mirza & Osindero 2014, Conditional Generative Adversarial Nets, section 3.2.
    """

    def __init__(
        self,
        noise_size: int,
        hidden: Sequence[int],
        out_shape: Sequence[int],
        classes: int = 0,
        *,
        bounded: bool = False,
        activation: Callable[[], nn.Module] = nn.ReLU,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.noise_size, self.out_shape, self.classes = noise_size, tuple(out_shape), classes
        sizes = [noise_size + classes, *hidden, math.prod(self.out_shape)]
        self.body = MLP(sizes, activation=activation, batch_norm=batch_norm)
        self.bound = nn.Tanh() if bounded else nn.Identity()

    def forward(self, noise: Tensor, label: Tensor | None = None) -> Tensor:
        if self.classes:
            noise = torch.cat([noise, one_hot(label, self.classes).to(noise)], 1)  # (N, Z + classes)
        return self.bound(self.body(noise)).unflatten(1, self.out_shape)  # (N, *out_shape)


class Critic(nn.Module):
    """A point or an image (and a label) to a logit: how real it looks. Logits, not probabilities.

    Args:
        in_shape: shape of what is judged: (2,), (1, 8, 8).
        hidden: units of each hidden layer; the last of them are the features.
        classes: number of labels; 0 takes none. A label enters as a one-hot vector beside the input.
        minibatch: kernels of a `MinibatchDiscrimination` layer beside the features; 0 has none.
        outputs: logits for each point; more than one for a critic that also names the generator (MAD-GAN).
        activation, batch_norm, dropout: of the hidden layers.

    Shapes: x (N, *in_shape)[, label (N,) int64] -> logits (N,), or (N, outputs) where outputs > 1.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        hidden: Sequence[int],
        classes: int = 0,
        *,
        minibatch: int = 0,
        outputs: int = 1,
        activation: Callable[[], nn.Module] = leaky,
        batch_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_shape, self.classes, self.outputs = tuple(in_shape), classes, outputs
        sizes = [math.prod(self.in_shape) + classes, *hidden]
        self.body = MLP(sizes, activation=activation, batch_norm=batch_norm, dropout=dropout, last=True)
        self.minibatch = MinibatchDiscrimination(sizes[-1], minibatch) if minibatch else None
        self.head = nn.Linear(sizes[-1] + minibatch, outputs)

    def features(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """The activations of the last hidden layer, (N, F); what feature matching compares."""
        x = x.flatten(1)
        if self.classes:
            x = torch.cat([x, one_hot(label, self.classes).to(x)], 1)
        return self.body(x)  # (N, F)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        features = self.features(x, label)
        if self.minibatch is not None:
            features = torch.cat([features, self.minibatch(features)], 1)  # (N, F + kernels)
        logits = self.head(features)  # (N, outputs)
        return logits.squeeze(1) if self.outputs == 1 else logits
