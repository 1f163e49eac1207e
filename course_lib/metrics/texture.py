"""The network whose Gram matrices describe textures: VGG-19 where its weights can be had, else random filters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from course_lib.data.hub import fetched_weights
from course_lib.errors import CourseError
from course_lib.nets.descriptors import RandomFilters, VGG19Maps


def texture_descriptor(
    which: str = "auto",
    *,
    pools: int = 4,
    root: str | Path | None = None,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
    **filters: Any,
) -> nn.Module:
    """A descriptor: images (N, 3, H, W) in [-1, 1] -> feature maps of several layers, a list of (N, C_l, H_l, W_l).

    Prints which one it is. Its maps go into `course_lib.losses.texture.gram`. No part of it needs a gradient.

    Args:
        which: "vgg19", trained on ImageNet, from `root` if it is there, else downloaded to it once (548 MB); "random",
            filters that are never trained and need no file; or "auto": vgg19 if it can be had, else random.
        pools: of `VGG19Maps`.
        root: folder of the data; `data_root()` unless given.
        generator: draws the random filters, on the CPU; a fixed seed unless given, so that every call has the same.
        device: where it is put.
        filters: of `RandomFilters`: filters, size, levels.

    Raises:
        CourseError: there is no such descriptor; "vgg19" was asked for and its weights cannot be had.

    Gatys, Ecker & Bethge 2015, Texture Synthesis Using Convolutional Neural Networks; Ustyuzhaninov et al. 2016,
    Texture Synthesis Using Shallow Convolutional Networks with Random Filters.
    """
    if which not in ("auto", "vgg19", "random"):
        raise CourseError(f"A texture descriptor is auto, vgg19 or random, not {which!r}.")
    if which != "random":
        try:
            net: nn.Module = _vgg19(pools, None if root is None else Path(root))
        except CourseError as error:
            if which == "vgg19":
                raise
            print(f"{error} Instead:")
        else:
            print("texture descriptor: VGG-19, trained on ImageNet")
            return net.to(device).eval()
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    net = RandomFilters(generator=generator, **filters)
    levels, count, _, size, _ = net.weights.shape
    print(f"texture descriptor: random filters, {count} of {size} × {size} on each of {levels} scales")
    return net.to(device).eval()


def _vgg19(pools: int, root: Path | None) -> VGG19Maps:
    from torchvision.models import VGG19_Weights

    instead = 'the descriptor "random", which needs no file'
    net = VGG19Maps(pools=pools)
    net.load(fetched_weights("VGG-19", VGG19_Weights.IMAGENET1K_V1.url, instead=instead, root=root))
    return net
