"""Two-player games on a critic's logits: what the critic minimises, what the generator minimises.

A critic's output is a logit a, the probability that x is real is D(x) = sigmoid(a). Everything here is written with
softplus(a) = log(1 + e^a), because

    -log D(x) = softplus(-a),    -log(1 - D(x)) = softplus(a),

and softplus neither overflows nor rounds to log 0, however sure the critic is. Losses are in nats, averaged over the
batch. Logits are (N,), any real numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from course_lib.errors import CourseError


@dataclass(frozen=True)
class Game:
    """The two losses of a game.

    Attributes:
        name: what the game is called in tables and plots.
        critic: (real_logits (N,), fake_logits (M,)) -> loss of the critic, ().
        generator: fake_logits (M,) -> loss of the generator, ().
    """

    name: str
    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def value(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The value of the minimax game: the critic ascends it, the generator descends it.

    V = mean log D(x) + mean log(1 - D(G(z))), in nats, (), at most 0; -log 4 where the critic knows nothing (a = 0).
    For the optimal critic V = -log 4 + 2 JSD(p, q).

    Goodfellow et al. 2014, Generative Adversarial Nets, eq. 1 and theorem 1.
    """
    return -softplus(-real_logits).mean() - softplus(fake_logits).mean()


def optimal_logits(log_p: Tensor, log_q: Tensor) -> Tensor:
    """The logits of the best critic between known densities: a* = log p(x) - log q(x), so D* = p/(p + q).

    Args:
        log_p, log_q: log densities of the data and of the generator at the same points, (N,), in nats.

    Goodfellow et al. 2014, proposition 1.
    """
    return log_p - log_q


def _log_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-V: the cross-entropy of "real" at real points plus that of "fake" at generated ones."""
    return -value(real_logits, fake_logits)


def _minimax(fake_logits: Tensor) -> Tensor:
    """mean log(1 - D(G(z))); its slope in the logit is -D(G(z)), nothing where the critic is sure."""
    return -softplus(fake_logits).mean()


def _likely_real(fake_logits: Tensor) -> Tensor:
    """-mean log D(G(z)); its slope in the logit is D(G(z)) - 1, full where the critic is sure."""
    return softplus(-fake_logits).mean()


saturating = Game("saturating", _log_loss, _minimax)
"""The minimax game: the generator descends what the critic ascends. Goodfellow et al. 2014, eq. 1 and algorithm 1."""

non_saturating = Game("non-saturating", _log_loss, _likely_real)
"""The game people train: same critic, the generator ascends log D(G(z)). Goodfellow et al. 2014, section 3."""


def smoothed(game: Game, real: float = 0.9) -> Game:
    """One-sided label smoothing: the critic is told that a real point is real with probability `real`.

    critic = mean[real * softplus(-a) + (1 - real) * softplus(a)] over real points + what it was over generated ones
           = game.critic + (1 - real) * mean(a over real points),

    because softplus(a) = softplus(-a) + a. The best critic becomes D* = real * p/(p + q), so its logits stay below
    log(real / (1 - real)); the generator's loss is unchanged. For games whose critic is the log loss.

    Args:
        game: `saturating` or `non_saturating`.
        real: the target for real points, in (0, 1]; the paper's .9.

    Raises:
        CourseError: `real` outside (0, 1].

    Salimans et al. 2016, Improved Techniques for Training GANs, section 3.4.
    """
    if not 0 < real <= 1:
        raise CourseError(f"The smoothed label of real points is a probability in (0, 1], not {real}.")

    def critic(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return game.critic(real_logits, fake_logits) + (1 - real) * real_logits.mean()

    return Game(f"{game.name}, real = {real:g}", critic, game.generator)


def flipped(game: Game, share: float = 0.05) -> Game:
    """Noisy labels: each label the critic is shown is wrong with probability `share`, drawn anew at every call.

    critic = game.critic + mean(m * a over real points) - mean(m * a over generated ones), m ~ Bernoulli(share),

    again by softplus(a) = softplus(-a) + a. In expectation this smooths both labels to 1 - share and share.
    For games whose critic is the log loss.

    Args:
        game: `saturating` or `non_saturating`.
        share: probability of a wrong label, in [0, 1/2).

    Raises:
        CourseError: `share` outside [0, 1/2): the critic would learn to call generated points real.

    Chintala et al. 2016, How to train a GAN, item 6 (github.com/soumith/ganhacks).
    """
    if not 0 <= share < 0.5:
        raise CourseError(f"The share of flipped labels is in [0, 1/2), not {share}.")

    def critic(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        wrong_real = (torch.rand_like(real_logits) < share) * real_logits
        wrong_fake = (torch.rand_like(fake_logits) < share) * fake_logits
        return game.critic(real_logits, fake_logits) + wrong_real.mean() - wrong_fake.mean()

    return Game(f"{game.name}, {share:.0%} flipped", critic, game.generator)
