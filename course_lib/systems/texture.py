"""Images with the statistics of a texture: found one by one, or drawn by a network that has learned to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.loop import descend
from course_lib.losses.texture import content_loss, gram, relative_weights, texture_loss
from course_lib.nets.features import still
from course_lib.systems.lbfgs import LBFGS


class Likeness:
    """How far images are from the look of one image and, if wanted, from the layout of another; M layers.

        L(x) = 1/M Σ_l ‖G_l(x) − G_l(texture)‖² / ‖G_l(texture)‖²  +  weight · mean (F_m(x) − F_m(c))² / mean F_m(c)²

    Args:
        descriptor: images (N, 3, H, W) -> list of maps, such as `texture_descriptor` gives.
        texture: (1, 3, h, w) in [-1, 1], of any size; or one for each image: (N, 3, h, w), or a list of N if they
            differ in size.
        content_weight: 0 asks for the texture alone.
        content_layer: m, the number of the map whose layout is to be kept; a coarse one leaves the details free.

    Gatys, Ecker & Bethge 2015, Texture Synthesis Using Convolutional Neural Networks, section 4; 2016, Image Style
    Transfer Using Convolutional Neural Networks, eq. 7. The denominators are ours: each term is a relative error.
    """

    def __init__(
        self,
        descriptor: nn.Module,
        texture: Tensor | Sequence[Tensor],
        *,
        content_weight: float = 0.0,
        content_layer: int = -1,
    ) -> None:
        self.descriptor, self.content_weight, self.content_layer = descriptor, content_weight, content_layer
        several = [texture] if isinstance(texture, Tensor) else texture
        with torch.no_grad(), still(descriptor):
            each = [[gram(maps) for maps in descriptor(x)] for x in several]
        self.wanted = [torch.cat(layer) for layer in zip(*each, strict=True)]
        self.weights = relative_weights(self.wanted)

    def layout(self, content: Tensor) -> Tensor:
        """F_m(c), what of a content image is to be kept, (N, C, H', W')."""
        with torch.no_grad(), still(self.descriptor):
            return self.descriptor(content)[self.content_layer]

    def parts(self, images: Tensor, layout: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The texture's part (N,) and the content's (N,), the latter not yet weighed, 0 where no layout is given."""
        with still(self.descriptor):
            maps = self.descriptor(images)
        texture = texture_loss([gram(m) for m in maps], self.wanted, self.weights)
        if layout is None:
            return texture, torch.zeros_like(texture)
        size = layout.square().mean((1, 2, 3))
        return texture, content_loss(maps[self.content_layer], layout) / size

    def __call__(self, images: Tensor, layout: Tensor | None = None) -> Tensor:
        """L(x), (N,)."""
        texture, content = self.parts(images, layout)
        return texture + self.content_weight * content


class TexturePreImage:
    """min over x of L(x), by L-BFGS on the pixels: new images of a texture, or a photograph in its style.

    Args:
        likeness: what is minimised.
        start: x_0, (N, 3, H, W): noise for a texture; for a photograph, noise or the photograph. Each image for itself.
        content: c, (N, 3, H, W) or None.
        outside: price of the mean square by which pixels leave [-1, 1].
        memory, first: of `LBFGS`.
        device: where everything lives.

    Each `step` evaluates L and its gradient once. `image` (N, 3, H, W) is the best so far, cut off at -1 and 1.

    Gatys, Ecker & Bethge 2015, section 4.
    """

    def __init__(
        self,
        *,
        likeness: Likeness,
        start: Tensor,
        content: Tensor | None = None,
        outside: float = 1.0,
        memory: int = 10,
        first: float = 0.05,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device, self.likeness, self.outside = torch.device(device), likeness, outside
        self.layout = None if content is None else likeness.layout(content.to(self.device))
        self.search = LBFGS(start.to(self.device), memory=memory, first=first)

    @property
    def image(self) -> Tensor:
        return self.search.x.clamp(-1, 1)

    def objective(self, x: Tensor) -> Tensor:
        """L and the price of leaving the box, (N,)."""
        beyond = (x.abs() - 1).clamp(min=0).square().mean((1, 2, 3))
        return self.likeness(x, self.layout) + self.outside * beyond

    def step(self, batch: Any = None) -> dict[str, Tensor]:
        """One evaluation. Returns the mean over the images of the best value so far."""
        return {"loss": self.search.step(self.objective).mean()}


class TextureNetwork:
    """min over θ of E_z L(g_θ(z)), or of E_z,c L(g_θ(z, c)): the minimiser's work done once, by training a generator.

    Args:
        generator: a `TextureGenerator`, or another with `draw(n, height, width, device=)` and `content`.
        likeness: what is minimised; with a content_weight where the generator takes content.
        batch, size: how many images of which side are drawn in each step, where there is no content; 16 and 256 in the
            paper. With content, as many and as large as the content images.
        learning_rate: of Adam.
        diversity: λ in L − λ · mean over images of ½ log (the least mean square difference to another image of the
            batch): images that are alike cost. 0 in the paper.
        device: where everything lives.

    `step` takes () or (content,): (N, 3, H, W) in [-1, 1].

    Ulyanov, Lebedev, Vedaldi & Lempitsky 2016, Texture Networks, eq. 4 and 5; diversity: Ulyanov, Vedaldi & Lempitsky
    2017, Improved Texture Networks, section 4 (there with a constant instead of the mean over pixels).
    """

    def __init__(
        self,
        *,
        generator: nn.Module,
        likeness: Likeness,
        batch: int = 16,
        size: int = 256,
        learning_rate: float = 1e-2,
        diversity: float = 0.0,
        device: torch.device | str = "cpu",
    ) -> None:
        if diversity and batch < 2:
            raise CourseError("Diversity compares the images of a batch; it needs two or more.")
        self.device = torch.device(device)
        self.generator, self.likeness = generator.to(self.device), likeness
        self.batch, self.size, self.diversity = batch, size, diversity
        self.generator_opt = torch.optim.Adam(self.generator.parameters(), lr=learning_rate, fused=True)

    def step(self, batch: tuple[Tensor, ...] = ()) -> dict[str, Tensor]:
        """One move of the generator. Returns L and its two parts, means over the batch."""
        content = batch[0] if self.generator.content else None
        layout = None if content is None else self.likeness.layout(content)
        images = self.draw(self.batch if content is None else len(content), self.size, content=content)
        texture, kept = (part.mean() for part in self.likeness.parts(images, layout))
        loss = texture + self.likeness.content_weight * kept
        descend(self.generator_opt, loss - self.diversity * spread(images) if self.diversity else loss)
        return {"loss": loss.detach(), "texture": texture.detach(), "content": kept.detach()}

    def draw(self, n: int, height: int, width: int | None = None, content: Tensor | None = None) -> Tensor:
        """g(z) or g(z, c), with the graph: (n, 3, height, width), the sides of the content where there is one."""
        if content is not None:
            height, width = content.shape[-2:]
        noise = self.generator.draw(n, height, width, device=self.device)
        return self.generator(noise) if content is None else self.generator(noise, content)

    @torch.no_grad()
    def sample(self, n: int, height: int | None = None, width: int | None = None) -> Tensor:
        """n textures of any size the generator can draw, the size of training unless given."""
        with still(self.generator):
            return self.draw(n, height or self.size, width or height or self.size)

    @torch.no_grad()
    def stylize(self, content: Tensor) -> Tensor:
        """Content images (N, 3, H, W) in the style, of the same size."""
        with still(self.generator):
            return self.draw(len(content), 0, content=content.to(self.device))


def spread(images: Tensor) -> Tensor:
    """Mean over the images of ½ log of the least mean square difference to another one, (); images (N, …), N ≥ 2."""
    flat = images.flatten(1)
    squares = (flat[:, None] - flat[None]).square().mean(2)
    squares = squares + torch.diag(squares.new_full((len(flat),), torch.inf))
    return 0.5 * squares.amin(1).clamp(min=1e-8).log().mean()
