"""The generative moment matching network: a generator that descends the distance between two samples' mean features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.loop import descend
from course_lib.losses.mmd import GMMN as PAPERS
from course_lib.losses.mmd import mmd2
from course_lib.nets.features import still

TINY = 1e-12  # below this MMD² its root is not followed: the root's slope at 0 is infinite


def uniform(*size: int, device: torch.device | str = "cpu") -> Tensor:
    """The paper's noise: every number between -1 and 1 is as likely as any other."""
    return 2 * torch.rand(*size, device=device) - 1


class GMMN:
    """min over the generator of  √MMD²(data, samples),  MMD² biased, its kernel a sum of Gaussians of several widths.

    Without an autoencoder the generator draws what the data are: points, images. With one, which has been trained
    before and stays as it is, the generator draws codes, and is compared with the codes of the data; `sample` decodes.

    Args:
        generator: noise (N, Z) -> (N, …), of the shape of the data or of the codes.
        noise_size: Z.
        bandwidths: the σ of exp(−‖x − y‖² / (2σ²)), in units of what is compared. The defaults are the paper's, for
            784 pixels in [0, 1]; everything else wants its own.
        autoencoder: with `encode` and `decode`, in evaluation mode; None compares data and samples themselves.
        root: descend √MMD², as the paper; otherwise MMD².
        samples: drawn at each step; as many as there are data in the batch unless given.
        learning_rate, betas: of Adam. The paper descends with momentum.
        draw_noise: (n, Z, device=) -> z; the paper's is uniform in [-1, 1].
        device: where everything lives.

    `step` takes (data, …), of which it looks at the first: data (N, …). N should be large, the paper's is 1000: the
    biased MMD² of two samples of N from one distribution is about 2 (k(x, x) − mean k(x, x')) / N, not 0.

    Raises:
        CourseError: fewer than one sample a step.

    Li, Swersky & Zemel 2015, Generative Moment Matching Networks, algorithms 1 and 2, equations 3 to 5.
    """

    def __init__(
        self,
        *,
        generator: nn.Module,
        noise_size: int,
        bandwidths: Sequence[float] = PAPERS,
        autoencoder: Any = None,
        root: bool = True,
        samples: int | None = None,
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        draw_noise: Callable[..., Tensor] = uniform,
        device: torch.device | str = "cpu",
    ) -> None:
        if samples is not None and samples < 1:
            raise CourseError(f"A step needs one sample or more, not {samples}.")
        self.device = torch.device(device)
        self.generator = generator.to(self.device)
        self.autoencoder = autoencoder.to(self.device) if isinstance(autoencoder, nn.Module) else autoencoder
        self.noise_size, self.samples, self.draw_noise = noise_size, samples, draw_noise
        self.bandwidths, self.root = tuple(float(sigma) for sigma in bandwidths), root
        self.generator_opt = torch.optim.Adam(self.generator.parameters(), lr=learning_rate, betas=betas, fused=True)

    def noise(self, n: int) -> Tensor:
        """z, (n, Z)."""
        return self.draw_noise(n, self.noise_size, device=self.device)

    def step(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """One move of the generator. Returns the biased MMD² before it, ()."""
        with torch.no_grad():
            data = batch[0] if self.autoencoder is None else self.autoencoder.encode(batch[0])  # (N, …)
        squared = mmd2(data, self.generator(self.noise(self.samples or len(data))), self.bandwidths, biased=True)
        descend(self.generator_opt, squared.clamp(min=TINY).sqrt() if self.root else squared)
        return {"mmd2": squared.detach()}

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """n samples, (n, …), in evaluation mode and without a graph; decoded where there is an autoencoder."""
        with still(self.generator):
            drawn = self.generator(self.noise(n))
        return drawn if self.autoencoder is None else self.autoencoder.decode(drawn)
