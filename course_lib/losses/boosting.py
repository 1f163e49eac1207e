"""How a boosted generator weighs the data: most where the mixture so far draws least (AdaGAN)."""

from __future__ import annotations

import torch
from torch import Tensor

from course_lib.errors import CourseError


def boosting_weights(logits: Tensor, beta: float) -> Tensor:
    """The distribution over the data that the next component should learn.

    w_i = (1/beta) (1/N) [lambda - (1 - beta) h_i]_+ ,   h_i = q(x_i)/p(x_i) = (1 - D(x_i))/D(x_i) = exp(-a_i),

    with lambda such that the weights sum to 1. It is the best component to mix in with weight `beta` when the mixture
    so far draws q: points that q draws too often anyway (large h) get none.

    Args:
        logits: a critic's logits between data and the mixture so far, at all data points, (N,).
        beta: weight of the next component in the mixture, in (0, 1].

    Returns:
        w, (N,), at least 0, of sum 1.

    Raises:
        CourseError: beta outside (0, 1].

    Tolstikhin et al. 2017, AdaGAN: Boosting Generative Models, algorithm 2, with h of the GAN's own divergence.
    """
    if not 0 < beta <= 1:
        raise CourseError(f"The weight of the next component is in (0, 1], not {beta}.")
    n = len(logits)
    cost = (1 - beta) * torch.exp(-logits.double())  # (N,)
    ascending = cost.sort().values
    count = torch.arange(1, n + 1, device=logits.device)
    level = (n * beta + ascending.cumsum(0)) / count  # lambda if the `count` cheapest points got all the weight
    active = (level > ascending).sum()  # the last count for which that is consistent
    return ((level[active - 1] - cost).clamp(min=0) / (n * beta)).to(logits.dtype)
