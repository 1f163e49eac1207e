"""The spatial transformer: a net that turns, scales and moves its input as its task asks, before anything else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from course_lib.errors import CourseError

# the entries of theta that each number of a transformation moves, (K, 2, 3)
KINDS = {
    "affine": torch.eye(6).view(6, 2, 3),
    "attention": torch.tensor([[1.0, 0, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]]).view(3, 2, 3),
}
IDENTITY = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


class Localisation(nn.Sequential):
    """A small net that looks at an image to say how it lies: two convolutions, each pooled, and a hidden layer.

    The sizes are ours, not the paper's.

    Args:
        in_shape: (C, H, W).
        outputs: how many numbers it says.
        channels: of the two convolutions, 5 × 5.
        hidden: units of the hidden layer.

    Shapes: (N, C, H, W) in [-1, 1] -> (N, outputs).
    """

    def __init__(
        self, in_shape: Sequence[int], outputs: int, *, channels: Sequence[int] = (16, 32), hidden: int = 32
    ) -> None:
        c, h, w = in_shape
        first, second = channels
        super().__init__(
            nn.Conv2d(c, first, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(first, second, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Flatten(),
            nn.Linear(second * -(-h // 4) * -(-w // 4), hidden),
            nn.ReLU(),
            nn.Linear(hidden, outputs),
        )


class SpatialTransformer(nn.Module):
    """The input as seen through an affine grid that a localisation net chooses for each example.

        theta = identity + sum_k loc(x)_k B_k,      V = sample(x, grid(theta))

    The B_k say which entries of theta are free: all six ("affine", eq. 1), or one scale and two shifts ("attention",
    eq. 2). Put it before any classifier: nn.Sequential(SpatialTransformer(...), classifier). Its last layer starts at
    zero, so that at first it shows the input as it is; theta's errors come back through the sampler (eqs. 6 and 7).

    Args:
        in_shape: (C, H, W) of the input.
        kind: "affine" or "attention".
        localisation: x -> (N, 6) or (N, 3); a `Localisation` unless given, whose last linear layer is set to zero.
        out_size: (H', W') of the output; the input's unless given.
        fill: the value outside the image; the paper's 0, which is grey in [-1, 1]: -1 for digits on black.
        align_corners: what -1 and 1 of the grid mean; see course_lib.scratch.transformer.

    Shapes: (N, C, H, W) -> (N, C, H', W').

    Raises:
        CourseError: another kind; a localisation net with another number of outputs.

    Jaderberg et al. 2015, Spatial Transformer Networks, sections 3.1 to 3.4, eqs. 1, 2 and 5.
    """

    def __init__(
        self,
        *,
        in_shape: Sequence[int],
        kind: str = "affine",
        localisation: nn.Module | None = None,
        out_size: Sequence[int] | None = None,
        fill: float = 0.0,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise CourseError(f"A spatial transformer is one of {', '.join(KINDS)}, not {kind!r}.")
        self.out_size = tuple(in_shape[1:] if out_size is None else out_size)
        self.fill, self.align_corners = fill, align_corners
        self.register_buffer("basis", KINDS[kind].clone(), persistent=False)  # (K, 2, 3)
        self.register_buffer("identity", IDENTITY.clone(), persistent=False)
        if localisation is None:
            localisation = Localisation(in_shape, len(self.basis))
            nn.init.zeros_(localisation[-1].weight)
            nn.init.zeros_(localisation[-1].bias)
        self.localisation = localisation

    def theta(self, x: Tensor) -> Tensor:
        """The transformation chosen for each example, from places of the output to places of the input, (N, 2, 3)."""
        numbers = self.localisation(x)  # (N, K)
        if numbers.shape != (len(x), len(self.basis)):
            raise CourseError(
                f"The localisation net gave {tuple(numbers.shape)}; it must give ({len(x)}, {len(self.basis)})."
            )
        return self.identity + torch.einsum("nk,kij->nij", numbers, self.basis)

    def forward(self, x: Tensor) -> Tensor:
        theta = self.theta(x)
        grid = affine_grid(theta, [*x.shape[:2], *self.out_size], self.align_corners)  # (N, H', W', 2)
        return grid_sample(x - self.fill, grid, align_corners=self.align_corners) + self.fill  # (N, C, H', W')
