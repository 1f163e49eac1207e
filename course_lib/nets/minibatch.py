"""Minibatch discrimination: a layer through which a critic sees how alike the points of a batch are."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MinibatchDiscrimination(nn.Module):
    """For each point, how close the rest of its batch is to it, in B learned projections.

    M_i = f_i T, (B, C);    c_b(i, j) = exp(-|| M_i,b - M_j,b ||_1);    o(i)_b = sum_j c_b(i, j)

    The sum runs over the whole batch, j = i included, as in the paper: every output lies in [1, N], and N means that
    the batch is one point repeated. So use one batch size for real and generated points, and never mix the two.

    Args:
        in_features: A, the size of the features f.
        kernels: B, the number of outputs; 100 in the authors' code.
        kernel_size: C, the dimensions in which each of them measures distance; 5 in the authors' code.

    Shapes: (N, A) -> (N, B). The critic concatenates this to its features.

    Salimans et al. 2016, Improved Techniques for Training GANs, section 3.2.
    """

    def __init__(self, in_features: int, kernels: int = 100, kernel_size: int = 5) -> None:
        super().__init__()
        self.kernels, self.kernel_size = kernels, kernel_size
        self.projection = nn.Parameter(torch.randn(in_features, kernels * kernel_size) / in_features**0.5)  # T

    def forward(self, features: Tensor) -> Tensor:
        projected = (features @ self.projection).unflatten(1, (self.kernels, self.kernel_size))  # (N, B, C)
        projected = projected.transpose(0, 1)  # (B, N, C)
        distance = torch.cdist(projected, projected, p=1)  # (B, N, N)
        return torch.exp(-distance).sum(2).T  # (N, B)
