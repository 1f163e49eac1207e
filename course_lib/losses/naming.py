"""The losses of a critic that says who drew a point: one of k generators, or nature (MAD-GAN)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax


def naming_critic(real_logits: Tensor, fake_logits: Tensor, author: Tensor) -> Tensor:
    """Cross-entropy of a critic with k + 1 outputs: generator 0..k-1 drew the point, or (output k) it is real.

    mean -log P(k | x) over real points + mean -log P(author | fake) over generated ones, P = softmax of the logits.

    Args:
        real_logits: (N, k + 1).
        fake_logits: (M, k + 1).
        author: which generator drew each fake, (M,), int64 in 0..k-1.

    Returns:
        (), in nats; 2 log(k + 1) where the critic knows nothing.

    Ghosh et al. 2018, Multi-Agent Diverse Generative Adversarial Networks (CVPR; arXiv 1704.02906).
    """
    return looks_real(real_logits) + cross_entropy(fake_logits, author)


def looks_real(logits: Tensor) -> Tensor:
    """mean -log P(k | x), in nats, (), for logits (N, k + 1).

    The generators descend it on their fakes: the non-saturating form of the paper's log(1 - P(k | fake)).
    With k = 1 and logits (0, a) it is softplus(-a), the generator's loss of the ordinary game.

    Ghosh et al. 2018; Goodfellow et al. 2014, section 3.
    """
    return -log_softmax(logits, 1)[:, -1].mean()
