"""Networks that describe an image and are never trained here: random filters at several scales, and VGG-19."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from course_lib.errors import CourseError


def bands(images: Tensor, levels: int) -> list[Tensor]:
    """A Laplacian pyramid: what each halving of the image loses, from fine to coarse, and last what is left over.

        x_0 = x,   x_l+1 = means of 2 × 2 pixels of x_l,   band_l = x_l − enlarged(x_l+1),   the last: x_L-1 itself

    Args:
        images: (N, C, H, W); H and W at least 2^(levels − 1).
        levels: L, at least 1.

    Returns:
        L tensors, (N, C, H / 2^l, W / 2^l) rounded down; enlarging is bilinear.

    Raises:
        CourseError: the images are too small.

    Burt & Adelson 1983, The Laplacian Pyramid as a Compact Image Code (with wider windows than these).
    """
    if levels < 1 or min(images.shape[-2:]) < 2 ** (levels - 1):
        raise CourseError(f"Images of {tuple(images.shape[-2:])} pixels cannot be halved {levels - 1} times.")
    found = []
    for _ in range(levels - 1):
        smaller = avg_pool2d(images, 2)
        found.append(images - interpolate(smaller, size=images.shape[-2:], mode="bilinear", align_corners=False))
        images = smaller
    return [*found, images]


class RandomFilters(nn.Module):
    """One layer of random filters and a ReLU on each band of the image: a descriptor without anything learned.

        F_l = relu(w_l * band_l + b_l),     w_l, b_l drawn from normal distributions, every filter scaled to length 1

    Ustyuzhaninov et al. found that one layer of random filters of several sizes, up to 55 × 55, describes many textures
    about as well as VGG-19. Here the filters have one size, and the image is halved instead, which costs far less; and
    they see bands, so that fine detail, faint in any photograph, has a layer of its own. The thresholds are ours, too:
    without them F doubles when the contrast doubles, second moments of F are second moments of each half of what a
    filter says, and a few glaring spots on a flat ground can have the same as even stripes.

    Args:
        filters: for each band; the paper has 128 of each size.
        size: side of the filters, odd.
        levels: number of bands.
        hue: how much more a filter says to a difference in hue than to one as large in brightness. In photographs
            neighbours differ far less in hue, and with 1 an image found by descent has the hues of its noisy start.
        thresholds: standard deviation of b in the bands, and in what is left over.
        generator: draws the filters; the global generator unless given.

    Shapes: images (N, 3, H, W) in [-1, 1] -> `levels` maps, (N, filters, H / 2^l, W / 2^l), at least 0. Beyond the
    border the image is mirrored.

    Raises:
        CourseError: an even size; images too small for the levels and the size.

    Ustyuzhaninov, Brendel, Gatys & Bethge 2016, Texture Synthesis Using Shallow Convolutional Networks with Random
    Filters; bands of noise matched to a texture's: Heeger & Bergen 1995, Pyramid-Based Texture Analysis/Synthesis.
    """

    def __init__(
        self,
        *,
        filters: int = 64,
        size: int = 5,
        levels: int = 4,
        hue: float = 4.0,
        thresholds: tuple[float, float] = (0.06, 0.3),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if size % 2 == 0:
            raise CourseError(f"A filter needs a middle; its side is odd, not {size}.")
        self.levels, self.size = levels, size
        axes = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])  # brightness, and two of hue
        axes = axes / axes.norm(dim=1, keepdim=True) * torch.tensor([1.0, hue, hue])[:, None]
        weights = torch.randn(levels, filters, 3, size, size, generator=generator)
        weights = torch.einsum("lfcij,cd->lfdij", weights, axes)
        self.register_buffer("weights", weights / weights.flatten(2).norm(dim=2)[:, :, None, None, None])
        scale = torch.tensor([thresholds[0]] * (levels - 1) + [thresholds[1]])
        self.register_buffer("bias", scale[:, None] * torch.randn(levels, filters, generator=generator))

    @property
    def smallest(self) -> int:
        """The least side of an image that can be described, in pixels."""
        return (self.size // 2 + 1) * 2 ** (self.levels - 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        if min(images.shape[-2:]) < self.smallest:
            raise CourseError(
                f"Images of {tuple(images.shape[-2:])} pixels are too small; {self.smallest} is the least."
            )
        half = self.size // 2
        parts = zip(bands(images, self.levels), self.weights, self.bias, strict=True)
        return [conv2d(pad(band, (half,) * 4, mode="reflect"), w, b).relu() for band, w, b in parts]


BLOCKS = (2, 2, 4, 4, 4)  # convolutions in each block of VGG-19
MAPS = (64, 128, 256, 512, 512)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels, in [0, 1]


class VGG19Maps(nn.Module):
    """VGG-19 up to a pooling layer, with mean pooling: the maps of relu1_1, pool1, pool2, … as Gatys et al. take them.

    The weights are random until `load` brings those of ImageNet; nothing here is ever trained.

    Args:
        pools: how many pooling layers; 4 in the paper, so that there are five maps.

    Shapes: images (N, 3, H, W) in [-1, 1], sides at least 2^pools -> pools + 1 maps:
        (N, 64, H, W), (N, 64, H/2, W/2), (N, 128, H/4, W/4), (N, 256, H/8, W/8), (N, 512, H/16, W/16).

    Gatys, Ecker & Bethge 2015, Texture Synthesis Using Convolutional Neural Networks, sections 2 and 3; Simonyan &
    Zisserman 2015, Very Deep Convolutional Networks for Large-Scale Image Recognition, column E.
    """

    def __init__(self, *, pools: int = 4) -> None:
        super().__init__()
        if not 1 <= pools <= len(BLOCKS):
            raise CourseError(f"VGG-19 has {len(BLOCKS)} pooling layers; pools is from 1 to that, not {pools}.")
        layers: list[nn.Module] = []
        inside = 3
        self.taken = {1}  # relu1_1; the numbers are those of torchvision's `features`
        for convolutions, outside in list(zip(BLOCKS, MAPS, strict=True))[:pools]:
            for _ in range(convolutions):
                layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU()]
                inside = outside
            layers.append(nn.AvgPool2d(2))
            self.taken.add(len(layers) - 1)
        self.layers = nn.Sequential(*layers)
        self.smallest = 2**pools
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over torchvision's weights of vgg19: "features.0.weight", …; those of later layers are left out.

        Raises:
            CourseError: they are of another net.
        """
        own = self.layers.state_dict()
        given = {key.removeprefix("features."): value for key, value in state.items() if key.startswith("features.")}
        if any(key not in given or given[key].shape != value.shape for key, value in own.items()):
            raise CourseError("These are not the weights of torchvision's vgg19.")
        self.layers.load_state_dict({key: given[key] for key in own})

    def forward(self, images: Tensor) -> list[Tensor]:
        x, found = ((images + 1) / 2 - self.mean) / self.std, []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in self.taken:
                found.append(x)
        return found
