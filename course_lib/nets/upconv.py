"""The up-convolutional net: from what an object is and how it is seen to its picture and its mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pixel_shuffle

from course_lib.errors import CourseError
from course_lib.nets.mlp import MLP

MAPS = {1: (256, 48), 2: (256, 92, 48), 3: (256, 92, 92, 48), 4: (256, 92, 92, 48, 48)}
START = 4  # the side of the first maps


class Upsample(nn.Module):
    """Every pixel becomes a 2 × 2 block: its value and three zeros ("zeros"), or four times its value ("nearest").

    Zeros are the paper's unpooling; the value stays in the upper left corner.

    Shapes: (N, C, H, W) -> (N, C, 2 H, 2 W).

    Dosovitskiy et al. 2015, section 3.1.
    """

    def __init__(self, how: str = "zeros") -> None:
        super().__init__()
        if how not in ("zeros", "nearest"):
            raise CourseError(f"Upsampling fills in 'zeros' or 'nearest', not {how!r}.")
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "nearest":
            return interpolate(x, scale_factor=2, mode="nearest")
        n, c, h, w = x.shape
        block = x.new_zeros(n, c, h, 2, w, 2)
        block[:, :, :, 0, :, 0] = x
        return block.view(n, c, 2 * h, 2 * w)


class UpConvolution(nn.Conv2d):
    """`Upsample`, then a 5 × 5 convolution, as one layer.

    Each of the four places in a block sees 3 × 3 pixels of what comes in, through a kernel of its own: the weights that
    meet the same value, added. So no zeros are multiplied, and no copies one by one.

    Shapes: (N, inside, H, W) -> (N, outside, 2 H, 2 W).

    Dosovitskiy et al. 2015, section 3.1.
    """

    def __init__(self, inside: int, outside: int, upsampling: str = "zeros") -> None:
        super().__init__(inside, outside, 5, padding=2)
        taps = torch.zeros(2, 3, 5)  # place in the block, pixel that comes in, weight
        for place in (0, 1):
            for k in range(5):
                pixel, rest = divmod(place + k - 2, 2)
                taps[place, pixel + 1, k] = rest == 0 or Upsample(upsampling).how == "nearest"
        self.register_buffer("taps", taps, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        kernels = torch.einsum("aik,bjl,dckl->dabcij", self.taps, self.taps, self.weight)  # (D, 2, 2, C, 3, 3)
        four = conv2d(x, kernels.flatten(0, 2), self.bias.repeat_interleave(4), padding=1)  # (N, 4 D, H, W)
        return pixel_shuffle(four, 2)


class Stream(nn.Sequential):
    """Code to picture: a linear layer to START × START maps, then up-convolutions, and a 5 × 5 convolution at the end.

    Shapes: (N, code) -> (N, outputs, size, size), any real numbers.
    """

    def __init__(self, code: int, maps: Sequence[int], outputs: int, upsampling: str) -> None:
        channels = [*maps[1:], outputs]
        layers: list[nn.Module] = [
            nn.Linear(code, maps[0] * START * START),
            nn.ReLU(),
            nn.Unflatten(1, (maps[0], START, START)),
        ]
        for i, (inside, outside) in enumerate(zip(maps, channels, strict=True)):
            if i < len(maps) - 1:
                layers += [UpConvolution(inside, outside, upsampling), nn.ReLU()]
            else:
                layers += [nn.Conv2d(inside, outside, 5, padding=2)]
        super().__init__(*layers)


class UpConvNet(nn.Module):
    """Type, viewpoint and transformation of an object to its image and its mask.

        h = shared(type' ⊕ angle' ⊕ transform'),     image = u(h),     mask = v(h)

    Each input first passes two layers of its own (' above); ⊕ sets vectors side by side. u and v are streams of
    upsampling and 5 × 5 convolutions that share nothing but the code h. They end linearly, as in the paper, so that
    the squared error never meets a flat sigmoid (with one, the masks of small objects went to 0 and stayed there);
    `on_background` cuts off what lies outside the ranges. A mixture of two types is a type vector like any other: the
    net draws something between them. To see what one neuron of h does, change it between `code` and `draw`.

    Args:
        types: number of types; the type is a vector, one-hot for a type itself.
        angles: numbers that say the viewpoint; 4 for the sines and cosines of azimuth and elevation.
        transforms: numbers that say how the image was transformed; 0 takes none.
        size: side of the image: 8, 16, 32, 64. The paper draws 128 × 128, from maps of 8 × 8; here they start at 4 × 4.
        channels: C of the image.
        own: units of each input's own layers.
        shared: units of h, and of the layer before it.
        maps: channels of the maps of each size from 4 × 4 up; for 64 those of the paper, and one more for the last.
        upsampling: "zeros" as in the paper, or "nearest".

    Shapes: type (N, types), angle (N, angles)[, transform (N, transforms)] -> image (N, C, size, size), trained
    towards [-1, 1], mask (N, 1, size, size), trained towards [0, 1].

    Raises:
        CourseError: a size that is not one of those; the wrong number of maps; another upsampling.

    Dosovitskiy, Springenberg & Brox 2015, Learning to Generate Chairs with Convolutional Neural Networks, section 3.1
    and figure 2.
    """

    def __init__(
        self,
        *,
        types: int,
        angles: int = 4,
        transforms: int = 0,
        size: int = 64,
        channels: int = 3,
        own: int = 512,
        shared: int = 1024,
        maps: Sequence[int] | None = None,
        upsampling: str = "zeros",
    ) -> None:
        super().__init__()
        doublings = (size // START).bit_length() - 1
        if START * 2**doublings != size or doublings not in MAPS:
            sizes = ", ".join(str(START * 2**k) for k in MAPS)
            raise CourseError(f"The net draws images of side {sizes}, not {size}.")
        maps = MAPS[doublings] if maps is None else tuple(maps)
        if len(maps) != doublings + 1:
            raise CourseError(f"A net for side {size} has {doublings + 1} numbers of maps, not {len(maps)}.")
        inputs = [types, angles, *([transforms] if transforms else [])]
        self.own = nn.ModuleList(MLP([inside, own, own], last=True) for inside in inputs)
        self.shared = MLP([own * len(inputs), shared, shared], last=True)
        self.image = Stream(shared, maps, channels, upsampling)
        self.mask = Stream(shared, maps, 1, upsampling)
        self.apply(_keep_size)
        for stream in (self.image, self.mask):  # at first grey, and nowhere
            nn.init.normal_(stream[-1].weight, std=1e-2)

    def code(self, type: Tensor, angle: Tensor, transform: Tensor | None = None) -> Tensor:
        """h, what image and mask are drawn from, (N, shared), at least 0."""
        given = [type, angle, *([] if transform is None else [transform])]
        if len(given) != len(self.own):
            raise CourseError(f"This net takes {len(self.own)} vectors for an object, not {len(given)}.")
        return self.shared(torch.cat([net(x) for net, x in zip(self.own, given, strict=True)], 1))

    def draw(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """h (N, shared) -> image (N, C, size, size), mask (N, 1, size, size)."""
        return self.image(code), self.mask(code)

    def forward(self, type: Tensor, angle: Tensor, transform: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.draw(self.code(type, angle, transform))


def on_background(image: Tensor, mask: Tensor, background: Tensor | float = 1.0) -> Tensor:
    """The drawn object before a background: image + (1 − mask) · background, (N, C, H, W), cut off at -1 and 1.

    The image is of the object alone, 0 where there is none, and at a smooth edge the object's colour times its share of
    the pixel: what `image_and_mask` teaches. So it is not multiplied by the mask once more.

    Args:
        image: (N, C, H, W). mask: (N, 1, H, W), first cut off at 0 and 1.
        background: a number or images, in [-1, 1]; 1 is white.
    """
    return (image + (1 - mask.clamp(0, 1)) * background).clamp(-1, 1)


def viewpoint(azimuth: Tensor, elevation: Tensor | None = None) -> Tensor:
    """Sine and cosine of each angle, so that a full turn ends where it began: (N, 2), or (N, 4) with elevation.

    Args:
        azimuth, elevation: (N,), in degrees.
    """
    angles = [torch.deg2rad(angle) for angle in ([azimuth] if elevation is None else [azimuth, elevation])]
    return torch.stack([f(angle) for angle in angles for f in (torch.sin, torch.cos)], 1)


def _keep_size(layer: nn.Module) -> None:
    """Weights that keep the size of activations through ReLUs (He et al. 2015), biases zero."""
    if isinstance(layer, (nn.Linear, nn.Conv2d)):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
