"""MAD-GAN: several generators against one critic that must also say which of them drew a fake."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.loop import descend
from course_lib.losses.naming import looks_real, naming_critic
from course_lib.nets.features import still


class MADGAN:
    """k generators, one critic with k + 1 outputs: "drawn by generator 0", ..., "drawn by generator k - 1", "real".

    The critic minimises the cross-entropy of the author; each generator only wants to look real. To tell the
    generators apart the critic must learn where each of them draws, and that knowledge drives them to different modes.

    Args:
        generators: k of them: noise (N, Z) -> fakes. Of their own initial weights; layers may be shared.
        critic: x -> logits (N, k + 1), the last one for "real"; `Critic(..., outputs=k + 1)`.
        noise_size: Z.
        learning_rate, betas: of Adam, for both sides; DCGAN's values.
        device: where everything lives.

    `step` takes (real, ...) with real (N, ...), N at least k; each generator draws N/k of the fakes.

    Ghosh et al. 2018, Multi-Agent Diverse Generative Adversarial Networks (CVPR; arXiv
    1704.02906); the generators descend -log P(real) instead of the paper's log(1 - P(real)), as in `looks_real`.
    """

    def __init__(
        self,
        *,
        generators: Sequence[nn.Module],
        critic: nn.Module,
        noise_size: int,
        learning_rate: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        device: torch.device | str = "cpu",
    ) -> None:
        if len(generators) < 1:
            raise CourseError("MAD-GAN needs at least one generator.")
        self.device = torch.device(device)
        self.generators = nn.ModuleList(generators).to(self.device)
        self.critic, self.noise_size = critic.to(self.device), noise_size
        self.generators_opt = torch.optim.Adam(self.generators.parameters(), lr=learning_rate, betas=betas, fused=True)
        self.critic_opt = torch.optim.Adam(self.critic.parameters(), lr=learning_rate, betas=betas, fused=True)

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        """n fakes (n, ...), the generators taking turns row by row, and their authors (n,), int64."""
        k = len(self.generators)
        noise = torch.randn(-(-n // k), k, self.noise_size, device=self.device)  # (n / k, k, Z)
        fake = torch.stack([generator(noise[:, i]) for i, generator in enumerate(self.generators)], 1)
        return fake.flatten(0, 1)[:n], torch.arange(n, device=self.device) % k

    def step(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """One move of the critic, then one of all generators. Returns both losses."""
        real = batch[0]  # (N, ...)
        if len(real) < len(self.generators):
            raise CourseError(f"A batch of {len(real)} has no point for each of {len(self.generators)} generators.")
        with torch.no_grad():
            fake, author = self.draw(len(real))  # (N, ...), (N,)
        critic = descend(self.critic_opt, naming_critic(self.critic(real), self.critic(fake), author))
        fake, _ = self.draw(len(real))
        generator = descend(self.generators_opt, looks_real(self.critic(fake)))
        return {"critic": critic, "generator": generator}

    @torch.no_grad()
    def sample(self, n: int) -> tuple[Tensor, Tensor]:
        """n fakes (n, ...), the generators taking turns row by row, in evaluation mode, and their authors (n,)."""
        with still(self.generators):
            return self.draw(n)
