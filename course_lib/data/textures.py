"""Textures: regions of photographs that scikit-learn ships, scikit-image's where it is installed, and drawn ones."""

from __future__ import annotations

import importlib
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from course_lib.errors import CourseError

PHOTOGRAPHS = {"china": "china.jpg", "flower": "flower.jpg"}
REGIONS = {  # name: (photograph, top, left, height, width)
    "roof": ("china", 250, 84, 34, 204),
    "gallery": ("china", 196, 102, 34, 212),
    "bushes": ("china", 330, 402, 97, 136),
    "trees": ("china", 362, 24, 65, 136),
    "conifer": ("china", 170, 572, 130, 66),
    "lake": ("china", 246, 352, 64, 140),
    "petals": ("flower", 127, 213, 190, 190),
    "leaf": ("flower", 90, 0, 190, 66),
}
DRAWN = ("bricks", "cells", "labyrinth", "straw")


@lru_cache(maxsize=1)
def _photographs() -> dict[str, Tensor]:
    from sklearn.datasets import load_sample_image

    pixels = {name: np.array(load_sample_image(file)) for name, file in PHOTOGRAPHS.items()}
    return {name: torch.from_numpy(p).permute(2, 0, 1).float() / 127.5 - 1 for name, p in pixels.items()}


def photographs() -> dict[str, Tensor]:
    """The two photographs that scikit-learn ships: "china", a temple, and "flower": (3, 427, 640) in [-1, 1] each.

    Source: china.jpg by danielbuechele and flower.jpg by vultilion, Creative Commons Attribution 2.0, as shipped by
    `sklearn.datasets.load_sample_image`.
    """
    return {name: image.clone() for name, image in _photographs().items()}


def texture_regions() -> dict[str, Tensor]:
    """Regions of the two photographs, each of one texture: (3, height, width) in [-1, 1], of various sizes."""
    whole = _photographs()
    return {
        name: whole[source][:, top : top + height, left : left + width].clone()
        for name, (source, top, left, height, width) in REGIONS.items()
    }


def more_texture_regions() -> dict[str, Tensor]:
    """scikit-image's brick, grass and gravel where it is installed, else none: grey, (3, 512, 512) in [-1, 1].

    Prints which there are. Nothing depends on them.

    Source: `skimage.data`, from CC0Textures (public domain).
    """
    found = {}
    try:
        data = importlib.import_module("skimage.data")  # not a dependency
        for name in ("brick", "grass", "gravel"):
            found[name] = torch.from_numpy(np.array(getattr(data, name)())).float().expand(3, -1, -1) / 127.5 - 1
    except (ImportError, AttributeError, OSError, ValueError) as error:
        print(f"scikit-image's textures are not here ({type(error).__name__}).")
    else:
        print(f"scikit-image's textures: {', '.join(found)}")
    return found


def crops(region: Tensor, size: int, n: int, *, generator: torch.Generator | None = None) -> Tensor:
    """n square crops from anywhere in a region (C, H, W), which may overlap: (n, C, size, size).

    Raises:
        CourseError: the region is smaller than the crops.
    """
    height, width = region.shape[-2:]
    if size > min(height, width):
        raise CourseError(f"A region of {height} × {width} pixels has no crops of side {size}.")
    top = torch.randint(height - size + 1, (n,), generator=generator).tolist()
    left = torch.randint(width - size + 1, (n,), generator=generator).tolist()
    return torch.stack([region[..., t : t + size, l : l + size] for t, l in zip(top, left, strict=True)])


def tiles(region: Tensor, size: int) -> Tensor:
    """As many square crops of a region (C, H, W) as fit side by side without overlap: (n, C, size, size)."""
    c, height, width = region.shape
    rows, columns = height // size, width // size
    if not rows * columns:
        raise CourseError(f"A region of {height} × {width} pixels has no crops of side {size}.")
    cut = region[:, : rows * size, : columns * size].reshape(c, rows, size, columns, size)
    return cut.permute(1, 3, 0, 2, 4).reshape(rows * columns, c, size, size).contiguous()


def drawn_texture(kind: str, size: int = 128, *, generator: torch.Generator | None = None) -> Tensor:
    """A texture drawn by formula, which ends on the right as it begins on the left: (3, size, size) in [-1, 1].

    Args:
        kind: one of DRAWN. "bricks" in rows with mortar; "cells", the regions nearest to random points; "labyrinth",
            noise of one wavelength in all directions; "straw", noise of short wavelengths in nearly one direction.
        size: side, in pixels; a multiple of 32 for bricks, which are 16 × 8.

    Raises:
        CourseError: there is no such texture, or bricks do not fit.
    """
    if kind not in DRAWN:
        raise CourseError(f"There is no drawn texture {kind!r}; choose one of {', '.join(DRAWN)}.")
    if kind == "bricks":
        if size % 32:
            raise CourseError(f"Bricks fill sides that are multiples of 32, not {size}.")
        return _bricks(size, generator)
    if kind == "cells":
        return _cells(size, generator)
    frequency = torch.fft.fftfreq(size) * size
    v, u = torch.meshgrid(frequency, frequency, indexing="ij")
    radius, angle = (u**2 + v**2).sqrt() * 8 / size, torch.atan2(v, u)  # radius 1: a wave of 8 pixels
    window = torch.exp(-(((radius - 1) / 0.18) ** 2))
    if kind == "straw":
        window = torch.exp(-((radius - 1.2) ** 2)) * torch.exp(-((torch.sin(angle - 0.5) / 0.12) ** 2))
    waves = torch.fft.ifft2(torch.fft.fft2(torch.randn(size, size, generator=generator)) * window).real
    share = torch.sigmoid((4 if kind == "labyrinth" else 1.5) * waves / waves.std())
    dark, light = (
        ((-0.9, -0.85, -0.7), (0.9, 0.85, 0.7)) if kind == "labyrinth" else ((-0.5, -0.75, -0.95), (0.95, 0.7, 0.0))
    )
    return _between(share, dark, light)


def _between(share: Tensor, dark: tuple[float, ...], light: tuple[float, ...]) -> Tensor:
    """Colours from dark to light, by a share in [0, 1], (H, W) -> (3, H, W)."""
    a, b = (torch.tensor(colour).view(3, 1, 1) for colour in (dark, light))
    return a + share * (b - a)


def _bricks(size: int, generator: torch.Generator | None) -> Tensor:
    i, j = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    row = i // 8
    along = (j + 8 * (row % 2)) % size
    brick = row * (size // 16) + along // 16
    tint = torch.rand(size // 8 * (size // 16), generator=generator)[brick]
    mortar = (i % 8 == 7) | (along % 16 == 15)
    rough = 0.06 * torch.randn(3, size, size, generator=generator)
    wall = _between(tint, (-0.1, -0.65, -0.75), (0.65, -0.1, -0.35))
    return torch.where(mortar, torch.tensor([0.55, 0.5, 0.4]).view(3, 1, 1), wall).add(rough).clamp(-1, 1)


def _cells(size: int, generator: torch.Generator | None) -> Tensor:
    count = size * size // 110
    points = size * torch.rand(count, 2, generator=generator)
    place = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"), -1).view(-1, 1, 2) + 0.5
    apart = (place - points).abs()
    apart = torch.minimum(apart, size - apart).square().sum(2).sqrt()  # the picture's ends meet
    two = apart.topk(2, dim=1, largest=False)
    edge = ((two.values[:, 1] - two.values[:, 0]) / 3).clamp(max=1).view(size, size)
    tint = torch.rand(count, generator=generator)[two.indices[:, 0]].view(size, size)
    return _between(edge * (0.35 + 0.65 * tint), (-0.95, -0.9, -0.7), (0.55, 0.75, 0.95))
