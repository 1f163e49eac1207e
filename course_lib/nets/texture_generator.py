"""The multi-scale generator of texture networks: noise at several sizes in, an image out, all by convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from course_lib.errors import CourseError


def block(inside: int, outside: int, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    """Convolutions 3 × 3, 3 × 3, 1 × 1, each normalised and rectified: (N, inside, H, W) -> (N, outside, H, W).

    The border is joined to the opposite one, as if the image were a tile repeated for ever.
    """
    layers: list[nn.Module] = []
    for size in (3, 3, 1):
        layers += [
            nn.Conv2d(inside, outside, size, padding=size // 2, padding_mode="circular", bias=False),
            norm(outside),
            nn.LeakyReLU(0.01),
        ]
        inside = outside
    return nn.Sequential(*layers)


def batch_norm(channels: int) -> nn.Module:
    """Normalised by the mean and deviation of the whole batch; the texture networks' first choice."""
    return nn.BatchNorm2d(channels)


def instance_norm(channels: int) -> nn.Module:
    """Normalised by each image's own mean and deviation (Ulyanov, Vedaldi & Lempitsky 2017)."""
    return nn.InstanceNorm2d(channels, affine=True)


class TextureGenerator(nn.Module):
    """g(z), or g(z, c) with a content image c: from the coarsest scale to the finest, each with noise of its own.

        h_K = block(z_K),      h_i = block( norm(twice as large(h_i+1)) ⊕ norm(block(z_i)) ),    x = tanh(1 × 1 of h_1)

    ⊕ joins channels. The coarse noise decides what goes where over a wide range, the fine noise what each place looks
    like. Nothing in it knows the size of the image: noise of any size makes an image of that size. With content, each
    z_i is joined by c at that size.

    Args:
        scales: K; 5 in the paper for 256 × 256. Sides are multiples of 2^(K − 1).
        channels: added by each scale: the k-th block from the coarsest has k times as many; 8 in the paper.
        noise: channels of each z_i; 3 in the paper.
        content: channels of c; 0 takes none.
        norm: makes a normalisation; `batch_norm` is the paper's, `instance_norm` that of the paper after it.

    Shapes: noise, K tensors (N, noise, H / 2^i, W / 2^i), as `draw` makes them[, content (N, content, H, W) in [-1, 1]]
    -> (N, 3, H, W) in [-1, 1].

    Raises:
        CourseError: not K noise tensors; sides that cannot be halved; content missing or not asked for.

    Ulyanov, Lebedev, Vedaldi & Lempitsky 2016, Texture Networks: Feed-forward Synthesis of Textures and Stylized
    Images, section 4.2 and figure 2. The tanh is ours, as our images lie in [-1, 1].
    """

    def __init__(
        self,
        *,
        scales: int = 5,
        channels: int = 8,
        noise: int = 3,
        content: int = 0,
        norm: Callable[[int], nn.Module] = batch_norm,
    ) -> None:
        super().__init__()
        self.scales, self.noise, self.content = scales, noise, content
        self.own = nn.ModuleList(block(noise + content, channels, norm) for _ in range(scales))  # coarsest first
        self.norms = nn.ModuleList(
            nn.ModuleList([norm(k * channels), norm(channels)]) for k in range(1, scales)
        )  # of what comes from below, and of the scale's own
        self.joined = nn.ModuleList(block(k * channels, k * channels, norm) for k in range(2, scales + 1))
        self.last = nn.Conv2d(scales * channels, 3, 1)

    @property
    def multiple(self) -> int:
        """Heights and widths are multiples of this."""
        return 2 ** (self.scales - 1)

    def draw(
        self,
        n: int,
        height: int,
        width: int | None = None,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> list[Tensor]:
        """z, uniform in [0, 1]: K tensors, (n, noise, height / 2^i, width / 2^i), finest first."""
        width = height if width is None else width
        if height % self.multiple or width % self.multiple:
            raise CourseError(f"Sides of {height} and {width} pixels are not multiples of {self.multiple}.")
        return [
            torch.rand(n, self.noise, height >> i, width >> i, generator=generator, device=device)
            for i in range(self.scales)
        ]

    def forward(self, noise: Sequence[Tensor], content: Tensor | None = None) -> Tensor:
        if len(noise) != self.scales:
            raise CourseError(f"This generator takes noise of {self.scales} sizes, not {len(noise)}.")
        if (content is None) != (self.content == 0):
            raise CourseError("This generator was built " + ("with" if self.content else "without") + " content.")
        inputs = list(noise)
        for i in range(self.scales if content is not None else 0):
            inputs[i] = torch.cat([noise[i], content], 1)
            content = avg_pool2d(content, 2) if i < self.scales - 1 else content
        h = self.own[0](inputs[-1])
        for z, own, (below, beside), joined in zip(inputs[-2::-1], self.own[1:], self.norms, self.joined, strict=True):
            h = joined(torch.cat([below(interpolate(h, scale_factor=2, mode="nearest")), beside(own(z))], 1))
        return torch.tanh(self.last(h))
