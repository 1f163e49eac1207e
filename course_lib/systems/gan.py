"""The generative adversarial network: a generator and a critic, trained in turns."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.loop import descend
from course_lib.losses.games import Game, non_saturating
from course_lib.losses.matching import feature_matching as match
from course_lib.nets.features import still


class GAN:
    """min over G, max over D of  V = E log D(x) + E log(1 - D(G(z))),  played with any `Game`.

    Each step the critic moves `critic_steps` times, on real minibatches of its own and fresh fakes; then the generator
    moves once. Both optimizers are plain attributes (`critic_opt`, `generator_opt`): put another there if you like.

    Args:
        generator: noise (N, Z)[, label (N,)] -> fakes, of the shape of the data.
        critic: x[, label (N,)] -> logits (N,); with `.features(x[, label]) -> (N, F)` where features are matched.
        noise_size: Z.
        game: the two losses.
        critic_steps: k of the paper's algorithm 1.
        learning_rate, betas: of Adam; DCGAN's values, as the paper names none for Adam.
        critic_learning_rate: of the critic, where it is to be slowed; the same unless given.
        instance_noise: standard deviation, in units of the data, of Gaussian noise on everything the critic is shown.
            A plain attribute: anneal it in the loop body.
        feature_matching: the generator descends || mean f(x) - mean f(G(z)) ||² instead of the game's loss.
        conditional: labels go to both players; fakes take the labels of the real points beside them.
        mixed: the critic learns from real and generated points in one batch; matters to batch norm alone.
        draw_noise: (n, Z, device=) -> z; torch.randn, or torch.rand for the uniform noise of the first papers.
        device: where everything lives.

    `step` takes (real,) or (real, label): real (k N, ...), label (k N,) int64, cut into k minibatches.

    Goodfellow et al. 2014, Generative Adversarial Nets, algorithm 1; feature matching: Salimans et al. 2016, 3.1;
    instance noise: Arjovsky & Bottou 2017, section 3, and Sønderby et al. 2017; labels: Mirza & Osindero 2014, eq. 2.
    """

    def __init__(
        self,
        *,
        generator: nn.Module,
        critic: nn.Module,
        noise_size: int,
        game: Game = non_saturating,
        critic_steps: int = 1,
        learning_rate: float = 2e-4,
        critic_learning_rate: float | None = None,
        betas: tuple[float, float] = (0.5, 0.999),
        instance_noise: float = 0.0,
        feature_matching: bool = False,
        conditional: bool = False,
        mixed: bool = False,
        draw_noise: Callable[..., Tensor] = torch.randn,
        device: torch.device | str = "cpu",
    ) -> None:
        if critic_steps < 1:
            raise CourseError(f"The critic moves at least once a step, not {critic_steps} times.")
        self.device = torch.device(device)
        self.generator, self.critic = generator.to(self.device), critic.to(self.device)
        self.noise_size, self.game, self.critic_steps = noise_size, game, critic_steps
        self.instance_noise, self.draw_noise = instance_noise, draw_noise
        self.feature_matching, self.conditional, self.mixed = feature_matching, conditional, mixed
        critic_rate = learning_rate if critic_learning_rate is None else critic_learning_rate
        self.generator_opt = torch.optim.Adam(self.generator.parameters(), lr=learning_rate, betas=betas, fused=True)
        self.critic_opt = torch.optim.Adam(self.critic.parameters(), lr=critic_rate, betas=betas, fused=True)

    def noise(self, n: int) -> Tensor:
        """z, (n, Z)."""
        return self.draw_noise(n, self.noise_size, device=self.device)

    def step(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """k moves of the critic, one of the generator. Returns their losses, the mean over its moves for the critic."""
        real, label = batch[0], batch[1] if self.conditional else None
        if len(real) < self.critic_steps:
            raise CourseError(f"A batch of {len(real)} cannot be cut into {self.critic_steps} minibatches.")
        reals = real.tensor_split(self.critic_steps)
        labels = [None] * self.critic_steps if label is None else label.tensor_split(self.critic_steps)
        critic = [self.critic_step(x, y) for x, y in zip(reals, labels, strict=True)]
        generator = self.generator_step(len(reals[-1]), labels[-1], real=reals[-1])
        return {"critic": torch.stack(critic).mean(), "generator": generator}

    def critic_step(self, real: Tensor, label: Tensor | None = None) -> Tensor:
        """The critic moves once, on real points (N, ...) and as many fakes; the generator stays. Its loss, ()."""
        with torch.no_grad():
            fake = self.generator(self.noise(len(real)), *self._given(label))  # (N, ...)
        if self.mixed:
            both = None if label is None else torch.cat([label, label])
            real_logits, fake_logits = self.judge(torch.cat([real, fake]), both).chunk(2)  # (N,), (N,)
        else:
            real_logits, fake_logits = self.judge(real, label), self.judge(fake, label)  # (N,), (N,)
        return descend(self.critic_opt, self.game.critic(real_logits, fake_logits))

    def generator_step(self, n: int, label: Tensor | None = None, *, real: Tensor | None = None) -> Tensor:
        """The generator moves once, on n fakes; the critic stays. Its loss, ().

        `real` (N, ...) is looked at only where features are matched: otherwise the generator never sees data.
        """
        return descend(self.generator_opt, self.generator_loss(n, label, real=real))

    def generator_loss(self, n: int, label: Tensor | None = None, *, real: Tensor | None = None) -> Tensor:
        """What the generator descends, (), with its graph: for a step, or to look at its gradient."""
        fake = self.generator(self.noise(n), *self._given(label))  # (n, ...)
        if not self.feature_matching:
            return self.game.generator(self.judge(fake, label))
        with torch.no_grad():
            target = self.critic.features(self.blur(real), *self._given(label))  # (N, F)
        return match(target, self.critic.features(self.blur(fake), *self._given(label)))

    def judge(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """The critic's logits, (N,), on x as it is shown to it: with instance noise."""
        return self.critic(self.blur(x), *self._given(label))

    def blur(self, x: Tensor) -> Tensor:
        """x plus instance noise, of the same shape."""
        return x + self.instance_noise * torch.randn_like(x) if self.instance_noise else x

    @torch.no_grad()
    def sample(self, n: int, label: Tensor | None = None) -> Tensor:
        """n fakes, (n, ...), in evaluation mode and without a graph; labels (n,) are uniform unless given."""
        if self.conditional and label is None:
            label = torch.randint(self.generator.classes, (n,), device=self.device)
        with still(self.generator):
            return self.generator(self.noise(n), *self._given(label))

    def _given(self, label: Tensor | None) -> tuple[Tensor, ...]:
        return (label,) if self.conditional else ()
