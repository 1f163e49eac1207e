"""The autoencoder: a net that repeats its input through a narrow place."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.nets.mlp import MLP


class Autoencoder(nn.Module):
    """x -> decode(encode(x)), two multilayer perceptrons, the second with the sizes of the first in reverse.

    Args:
        in_shape: of one x: (2,), (1, 8, 8).
        hidden: units of the encoder's hidden layers, from the input on.
        code_size: K, numbers in a code.
        bounded: end the decoder in tanh, so that what it draws lies in [-1, 1]; for images.
        dropout: probability of dropping a hidden unit of the encoder, in training.
        activation: of the hidden layers.

    Codes are sigmoids, in (0, 1), as in Li et al. 2015, section 3.2, whose dropout in the encoder is here, too: codes
    that stand a lost unit are decoded to something sensible also next to where the data lie.

    Shapes: (N, *in_shape) -> (N, *in_shape); `encode` (N, *in_shape) -> (N, K); `decode` (N, K) -> (N, *in_shape).

    Raises:
        CourseError: a code of no numbers.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        hidden: Sequence[int],
        code_size: int,
        *,
        bounded: bool = True,
        dropout: float = 0.0,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        if code_size < 1:
            raise CourseError(f"A code has one number or more, not {code_size}.")
        self.in_shape, self.code_size = tuple(in_shape), code_size
        sizes = [math.prod(self.in_shape), *hidden, code_size]
        self.encoder = nn.Sequential(MLP(sizes, activation=activation, dropout=dropout), nn.Sigmoid())
        self.decoder = nn.Sequential(MLP(sizes[::-1], activation=activation), nn.Tanh() if bounded else nn.Identity())

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x.flatten(1))  # (N, K)

    def decode(self, code: Tensor) -> Tensor:
        return self.decoder(code).unflatten(1, self.in_shape)  # (N, *in_shape)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))
