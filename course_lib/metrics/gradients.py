"""How much a player still learns: the length of its gradient."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def gradient_norm(loss: Tensor, parameters: nn.Module | Iterable[Tensor]) -> Tensor:
    """The Euclidean norm of d loss / d parameters, all of them as one vector. No `.grad` is touched.

    Args:
        loss: (), with its graph; the graph is used up.
        parameters: tensors that require gradients, or the module that holds them.

    Returns:
        (), in units of the loss for each unit of the parameters.
    """
    parameters = list(parameters.parameters() if isinstance(parameters, nn.Module) else parameters)
    return torch.stack([gradient.norm() for gradient in torch.autograd.grad(loss, parameters)]).norm()
