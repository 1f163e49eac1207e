"""The pre-image: an image that a layer of a net cannot tell from a given one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.loop import descend
from course_lib.losses.smoothness import alpha_norm, total_variation
from course_lib.nets.features import LayerOutput, still


class PreImage:
    """min over x of  ‖φ(x) − φ(x*)‖² / ‖φ(x*)‖² + variation · TV^beta(x) + norm · |x|^alpha,  by gradient descent on x.

    φ is a layer of a trained net. The net stays as it is, in evaluation mode; the pixels of `image` move, every image
    of the batch for itself, and are kept in [-1, 1]. TV and the norm are divided by C·H·W here, so that their weights
    mean the same at every size.

    Args:
        net: x (N, C, H, W) -> anything.
        layer: whose output is φ; a name of net.named_modules(), "" for the net's output.
        images: x*, (N, C, H, W), in [-1, 1]; only φ(x*) is kept.
        variation, beta: weight and power of the total variation; 0 leaves it out. The weight is ours.
        norm, alpha: weight and power of the norm; alpha is the paper's 6.
        learning_rate: of Adam. The paper descends with momentum.
        start: the image to begin with; noise of standard deviation .1 unless given.
        generator: draws that noise.
        device: where everything lives.

    `image` (N, C, H, W) is the pre-image so far. `step` needs no batch: iterate(system.step, itertools.repeat(()), n).

    Raises:
        CourseError: the net has no such layer, or the layer puts out nothing but zeros for one of the images.

    Mahendran & Vedaldi 2015, Understanding Deep Image Representations by Inverting Them, section 2.
    """

    def __init__(
        self,
        *,
        net: nn.Module,
        layer: str,
        images: Tensor,
        variation: float = 0.1,
        beta: float = 2.0,
        norm: float = 0.0,
        alpha: float = 6.0,
        learning_rate: float = 0.05,
        start: Tensor | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.net = net.to(self.device)
        self.features = LayerOutput(self.net, layer)
        self.variation, self.beta, self.norm, self.alpha = variation, beta, norm, alpha
        images = images.to(self.device)
        with torch.no_grad(), still(self.net):
            self.target = self.features(images).flatten(1)  # φ(x*), (N, F)
        self.size = self.target.square().sum(1)  # (N,)
        if not bool((self.size > 0).all()):
            raise CourseError(f"The layer {layer!r} is all zeros for an image, so nothing can be found from it.")
        if start is None:
            where = self.device if generator is None else generator.device
            start = 0.1 * torch.randn(images.shape, generator=generator, device=where)
        self.image = nn.Parameter(start.detach().to(images).clone())
        self.image_opt = torch.optim.Adam([self.image], lr=learning_rate, fused=True)

    def distance(self, images: Tensor) -> Tensor:
        """‖φ(x) − φ(x*)‖² / ‖φ(x*)‖² of each image, (N,): 0 is the same to the layer, 1 as far as no features."""
        with still(self.net):
            return (self.features(images).flatten(1) - self.target).square().sum(1) / self.size

    def step(self, batch: Any = None) -> dict[str, Tensor]:
        """One move of the pixels. Returns means over the images: what is minimised, the distance, TV for each pixel."""
        pixels = self.image[0].numel()
        distance = self.distance(self.image)  # (N,)
        roughness = total_variation(self.image, beta=self.beta) / pixels  # (N,)
        loss = distance + self.variation * roughness
        if self.norm:
            loss = loss + self.norm * alpha_norm(self.image, alpha=self.alpha) / pixels
        descend(self.image_opt, loss.sum())  # a sum: no image's step depends on how many others there are
        with torch.no_grad():
            self.image.clamp_(-1, 1)
        return {key: value.detach().mean() for key, value in zip(NAMES, (loss, distance, roughness), strict=True)}


NAMES = ("loss", "distance", "variation")
