"""AdaGAN: a mixture of GANs, each trained on the data that the mixture so far draws too rarely."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.loop import descend
from course_lib.losses.boosting import boosting_weights
from course_lib.losses.games import saturating
from course_lib.systems.gan import GAN


class AdaGAN:
    """Boosting for generators: component t joins the mixture with weight 1/t, trained on reweighted data.

    Three phases for each component, the last two only if another follows:

        for i, metrics in iterate(boost.step, batches, steps): ...          # 1. train the component
        for i, metrics in iterate(boost.arbiter_step, batches, steps): ...  # 2. an arbiter: data against mixture
        boost.advance()                                                     # 3. reweigh the data, next component

    Args:
        components: T GANs, unconditional, each with networks of its own.
        arbiter: x -> logits (N,), the critic between data and mixture; it is initialised anew for every component.
        data: all points, (N, ...); `weights` (N,) is their distribution for the current component, uniform at first.
        learning_rate, betas: of the arbiter's Adam.
        device: where everything lives, the components too.

    `step` takes (real, index) with real (M, ...) uniform from the data and index (M,) its rows in `data`; it draws M of
    them again by their weights. Serve batches from `Batches(data, torch.arange(len(data)), ...)`.

    Tolstikhin et al. 2017, AdaGAN: Boosting Generative Models, algorithms 1 and 2, with beta_t = 1/t.
    """

    def __init__(
        self,
        *,
        components: Sequence[GAN],
        arbiter: nn.Module,
        data: Tensor,
        learning_rate: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        device: torch.device | str = "cpu",
    ) -> None:
        if len(components) < 1:
            raise CourseError("AdaGAN needs at least one component.")
        self.device = torch.device(device)
        self.components, self.arbiter, self.data = list(components), arbiter.to(self.device), data.to(self.device)
        self.weights = torch.full((len(data),), 1 / len(data), device=self.device)
        self.trained = 0  # components before the current one
        self.arbiter_opt = torch.optim.Adam(self.arbiter.parameters(), lr=learning_rate, betas=betas, fused=True)

    def step(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """One step of the current component, on points drawn by their weights. Returns its losses."""
        real, index = batch  # (M, ...), (M,)
        weight = self.weights[index] + 1e-12  # (M,), so that a batch without any weight is not an error
        return self.components[self.trained].step((real[torch.multinomial(weight, len(real), replacement=True)],))

    def arbiter_step(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """One step of the arbiter between data and the mixture, the current component included. Returns its loss."""
        fake = self.sample(len(batch[0]))
        loss = saturating.critic(self.arbiter(batch[0]), self.arbiter(fake))
        return {"arbiter": descend(self.arbiter_opt, loss)}

    @torch.no_grad()
    def advance(self) -> None:
        """Reweigh all data by the arbiter, go on to the next component and start a new arbiter.

        Raises:
            CourseError: there is no next component.
        """
        if self.trained + 1 == len(self.components):
            raise CourseError(f"All {len(self.components)} components are trained; build AdaGAN with more of them.")
        self.trained += 1
        self.weights.copy_(boosting_weights(self.arbiter(self.data), 1 / (self.trained + 1)))
        for module in self.arbiter.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        self.arbiter_opt.state.clear()

    def sample(self, n: int) -> Tensor:
        """n points (n, ...) of the mixture up to the current component, each component drawn with equal probability."""
        draws = torch.stack([gan.sample(n) for gan in self.components[: self.trained + 1]])  # (t, n, ...)
        chosen = torch.randint(len(draws), (n,), device=self.device)
        return draws[chosen, torch.arange(n, device=self.device)]
