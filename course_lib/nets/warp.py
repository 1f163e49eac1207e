"""DeepWarp: redirect a gaze by moving pixels; coarse, then fine, then a correction of lightness."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, grid_sample, interpolate

from course_lib.errors import CourseError


class Redirected(NamedTuple):
    """What DeepWarp made of an image.

    Attributes:
        image: the result, (N, C, H, W), in [-1, 1].
        field: the displacement of every pixel, (N, 2, H, W): (u, v), in pixels.
        coarse: the coarse level's part of it, of the same shape; zero where there is one level.
        lightness: the share of white mixed in, (N, 1, H, W), in [0, 1]; zero below three levels.
    """

    image: Tensor
    field: Tensor
    coarse: Tensor
    lightness: Tensor


def warp(image: Tensor, field: Tensor) -> Tensor:
    """Every pixel is fetched from where the field points: O(x, y) = I(x + u(x, y), y + v(x, y)), bilinear.

    The zero field changes nothing. Beyond the border the border's pixels go on.

    Args:
        image: (N, C, H, W).
        field: (u, v) in pixels, (N, 2, H, W); u along the width, v along the height, downwards.

    Returns:
        (N, C, H, W), within the range of the image.

    Raises:
        CourseError: image and field do not fit each other.

    Ganin et al. 2016, DeepWarp, eq. 1; the sampler is that of Jaderberg et al. 2015, eq. 5.
    """
    n, _, h, w = image.shape
    if field.shape != (n, 2, h, w):
        raise CourseError(f"The field must be ({n}, 2, {h}, {w}) for this image, not {tuple(field.shape)}.")
    like = {"device": field.device, "dtype": field.dtype}
    x = (torch.arange(w, **like) + field[:, 0]) * (2 / max(w - 1, 1)) - 1  # (N, H, W), -1 and 1 at corner pixels
    y = (torch.arange(h, **like)[:, None] + field[:, 1]) * (2 / max(h - 1, 1)) - 1
    return grid_sample(image, torch.stack([x, y], -1), padding_mode="border", align_corners=True)


def lighten(image: Tensor, lightness: Tensor) -> Tensor:
    """The correction of lightness: O' = O · (1 − M) + M, a mixture of each pixel with white.

    White is 1 in [0, 1] and in [-1, 1], so that the formula is the same in both.

    Args:
        image: O, (N, C, H, W), in [-1, 1].
        lightness: M, (N, 1, H, W), in [0, 1].

    Ganin et al. 2016, section 3.5.
    """
    return image * (1 - lightness) + lightness


class Level(nn.Module):
    """One module of DeepWarp: what is known of every pixel to a map of numbers for it.

    Convolutions 5 × 5, 3 × 3, 3 × 3, 1 × 1 of width/2, width, width, width channels, each with ReLU and batch
    normalization, and a last one, 1 × 1, that starts at zero. The paper's width is 32.

    Shapes: (N, inputs, H, W) -> (N, outputs, H, W), any real numbers, and the maps after the third, (N, width, H, W).

    Ganin et al. 2016, section 3.4 and figure 3.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 32) -> None:
        super().__init__()
        half = width // 2
        self.features = nn.Sequential(_block(inputs, half, 5), _block(half, width, 3), _block(width, width, 3))
        self.head = nn.Sequential(_block(width, width, 1), nn.Conv2d(width, outputs, 1))
        nn.init.zeros_(self.head[-1].weight)
        nn.init.zeros_(self.head[-1].bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)  # (N, width, H, W)
        return self.head(features), features


class CoarseToFine(nn.Module):
    """What DeepWarp and direct regression share: an encoder of the angle, a coarse level, a fine level.

    The coarse level sees the image at half its size; its numbers are enlarged and shown to the fine level, whose own
    are added to them. The angle passes two layers of 16 units and is set at every pixel.

    Args:
        channels: C of the image.
        angles: numbers that say the redirection; 2 for vertical and horizontal.
        maps: further maps about the image, such as where the corners of the eye are; 0 takes none.
        outputs: numbers for each pixel.
        coarse: have a coarse level.
        more: channels that the fine level sees besides.
        width: channels of a level's maps.

    Ganin et al. 2016, sections 3.2 to 3.4.
    """

    def __init__(
        self, *, channels: int, angles: int, maps: int, outputs: int, coarse: bool, more: int = 0, width: int = 32
    ) -> None:
        super().__init__()
        self.maps = maps
        self.angle = nn.Sequential(nn.Linear(angles, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
        inputs = channels + maps + 16
        self.coarse = Level(inputs, outputs, width) if coarse else None
        self.fine = Level(inputs + (outputs + more if coarse else 0), outputs, width)

    def known(self, image: Tensor, angle: Tensor, maps: Tensor | None) -> Tensor:
        """Image, further maps and encoded angle at every pixel, (N, C + maps + 16, H, W)."""
        if (0 if maps is None else maps.shape[1]) != self.maps:
            raise CourseError(f"This net takes {self.maps} further maps of shape (N, {self.maps}, H, W).")
        if self.coarse is not None and (image.shape[2] % 2 or image.shape[3] % 2):
            raise CourseError(f"The coarse level halves the image; its sides must be even, not {image.shape[2:]}.")
        encoded = self.angle(angle)[..., None, None].expand(-1, -1, *image.shape[2:])  # (N, 16, H, W)
        return torch.cat([image, *([] if maps is None else [maps]), encoded], 1)

    def first(self, known: Tensor) -> tuple[Tensor, Tensor]:
        """The coarse level's numbers and features, enlarged to the size of the image."""
        return tuple(_enlarge(x) for x in self.coarse(avg_pool2d(known, 2)))


class DeepWarp(nn.Module):
    """Image and angle to the image with the gaze turned by that angle: by a field of displacements.

        levels=1    D = fine(I, a)                            O = warp(I, D)
        levels=2    D = D_c + fine(I, a, D_c, warp(I, D_c)),  D_c = enlarged coarse(I/2, a)
        levels=3    and then O' = O · (1 − M) + M,  M = lightness(features of both levels, O)

    Train all levels together, on the squared error of the image alone: nobody says what the field should be. A new net
    returns its input (levels 1 and 2), or nearly (level 3: 1 % of white is mixed in).

    Args:
        levels: 1, one module at full size; 2, coarse then fine; 3, with the correction of lightness.
        channels: C.
        angles: numbers that say the redirection, of size about 1: degrees divided by the largest that is trained.
        maps: further maps about the image; the paper gives the distances to seven points of the eye. 0 takes none.
        reach: the largest displacement of each level, as a share of half the image's side; the paper's tanh ends at 1.
        width: channels of each level's maps, even; the paper's 32.

    Shapes: image (N, C, H, W) in [-1, 1], H and W even, angle (N, angles)[, maps (N, maps, H, W)] -> (N, C, H, W) in
    [-1, 1].

    Raises:
        CourseError: other levels; odd sides; maps that were not announced.

    Ganin, Kononenko, Sungatullina & Lempitsky 2016, DeepWarp: Photorealistic Image Resynthesis for Gaze Manipulation,
    section 3.
    """

    def __init__(
        self,
        *,
        levels: int = 3,
        channels: int = 3,
        angles: int = 2,
        maps: int = 0,
        reach: float = 1.0,
        width: int = 32,
    ) -> None:
        super().__init__()
        if levels not in (1, 2, 3):
            raise CourseError(f"DeepWarp has 1, 2 or 3 levels, not {levels}.")
        self.reach = reach
        self.field = CoarseToFine(
            channels=channels, angles=angles, maps=maps, outputs=2, coarse=levels > 1, more=channels, width=width
        )
        self.lightness = None
        if levels == 3:
            self.lightness = nn.Sequential(
                *(_block(2 * width + channels, 8, 1), _block(8, 8, 1), nn.Conv2d(8, 1, 1), nn.Sigmoid())
            )
            nn.init.zeros_(self.lightness[-2].weight)
            nn.init.constant_(self.lightness[-2].bias, -4.6)  # sigmoid = .01: start where nothing is corrected

    def parts(self, image: Tensor, angle: Tensor, maps: Tensor | None = None) -> Redirected:
        """The result, and the field, its coarse part and the lightness that made it."""
        known = self.field.known(image, angle, maps)  # (N, inputs, H, W)
        if self.field.coarse is None:
            field = self._displacement(self.field.fine(known)[0])
            coarse = torch.zeros_like(field)
        else:
            numbers, coarse_features = self.field.first(known)
            coarse = self._displacement(numbers)  # (N, 2, H, W), in pixels
            seen = torch.cat([known, coarse / _half_sides(coarse), warp(image, coarse)], 1)
            numbers, fine_features = self.field.fine(seen)
            field = coarse + self._displacement(numbers)
        warped = warp(image, field)
        if self.lightness is None:
            return Redirected(warped, field, coarse, torch.zeros_like(field[:, :1]))
        lightness = self.lightness(torch.cat([coarse_features, fine_features, warped], 1))  # (N, 1, H, W)
        return Redirected(lighten(warped, lightness), field, coarse, lightness)

    def forward(self, image: Tensor, angle: Tensor, maps: Tensor | None = None) -> Tensor:
        return self.parts(image, angle, maps).image

    def _displacement(self, numbers: Tensor) -> Tensor:
        """Any real numbers to pixels, (N, 2, H, W)."""
        return self.reach * numbers.tanh() * _half_sides(numbers)


class DirectRegression(nn.Module):
    """The thing to beat: the same coarse and fine levels, which draw the pixels themselves instead of moving them.

        O = tanh(P_c + fine(I, a, P_c)),    P_c = enlarged coarse(I/2, a)

    Args and shapes: those of `DeepWarp`, without levels and reach.

    The baseline that Ganin et al. 2016 argue against in section 1; its layers here are those of DeepWarp, so that only
    the idea differs.
    """

    def __init__(self, *, channels: int = 3, angles: int = 2, maps: int = 0, width: int = 32) -> None:
        super().__init__()
        self.pixels = CoarseToFine(
            channels=channels, angles=angles, maps=maps, outputs=channels, coarse=True, width=width
        )

    def forward(self, image: Tensor, angle: Tensor, maps: Tensor | None = None) -> Tensor:
        known = self.pixels.known(image, angle, maps)  # (N, inputs, H, W)
        coarse, _ = self.pixels.first(known)
        return (coarse + self.pixels.fine(torch.cat([known, coarse.tanh()], 1))[0]).tanh()  # (N, C, H, W)


def _block(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """A convolution that keeps the size, ReLU, batch normalization."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU(), nn.BatchNorm2d(outputs))


def _enlarge(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2 H, 2 W), bilinear."""
    return interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _half_sides(field: Tensor) -> Tensor:
    """Half the width and half the height in pixels, (2, 1, 1), in the order of (u, v)."""
    h, w = field.shape[2:]
    return torch.stack([field.new_full((1, 1), w / 2), field.new_full((1, 1), h / 2)])
