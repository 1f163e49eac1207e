"""What repeats in an image: Gram matrices of feature maps, and how far two images' are apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from course_lib.errors import CourseError


def gram(maps: Tensor) -> Tensor:
    """How often two features occur together, wherever that is: G_cd = mean over places of F_c F_d.

    Gatys et al. sum over the H·W places; the mean does not depend on the image's size, so a small image and a large one
    of the same texture have the same matrix.

    Args:
        maps: feature maps F, (N, C, H, W), any range.

    Returns:
        (N, C, C), symmetric, without negative eigenvalues, in squared units of the features.

    Gatys, Ecker & Bethge 2015, Texture Synthesis Using Convolutional Neural Networks, section 3.
    """
    if maps.ndim != 4:
        raise CourseError(f"Feature maps have the shape (N, C, H, W), not {tuple(maps.shape)}.")
    flat = maps.flatten(2)  # (N, C, H W)
    return flat @ flat.mT / flat.shape[2]


def texture_loss(grams: Sequence[Tensor], wanted: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """The distance between the Gram matrices of several layers.

        Σ_l w_l ‖G_l − Ĝ_l‖² / (4 C_l²)

    With sums over places in G, the paper divides by 4 C² (H·W)²; with means this is the same number.

    Args:
        grams: of each layer, (N, C_l, C_l).
        wanted: of each layer, (N, C_l, C_l), or (1, C_l, C_l) for all images, or (C_l, C_l).
        weights: of each layer; all 1 unless given.

    Returns:
        (N,), at least 0: one number for each image.

    Raises:
        CourseError: not as many wanted matrices or weights as layers.

    Gatys, Ecker & Bethge 2015, section 4.
    """
    weights = [1.0] * len(grams) if weights is None else list(weights)
    if not 0 < len(grams) == len(wanted) == len(weights):
        raise CourseError(
            f"There are {len(grams)} layers, {len(wanted)} wanted Gram matrices and {len(weights)} weights; "
            "each layer needs one of each."
        )
    parts = [
        weight * (g - w).square().sum((-2, -1)) / (4 * g.shape[-1] ** 2)
        for g, w, weight in zip(grams, wanted, weights, strict=True)
    ]
    return torch.stack(parts).sum(0)


def content_loss(maps: Tensor, wanted: Tensor) -> Tensor:
    """How far feature maps are from those wanted, place by place: the mean square of F − P.

    The paper takes half the sum; the mean does not depend on the size, and the factor belongs to the weight.

    Args:
        maps, wanted: (N, C, H, W); wanted may be (1, C, H, W).

    Returns:
        (N,), at least 0, in squared units of the features.

    Gatys, Ecker & Bethge 2015, A Neural Algorithm of Artistic Style, eq. 1.
    """
    return (maps - wanted).square().mean((1, 2, 3))


def relative_weights(wanted: Sequence[Tensor]) -> list[Tensor]:
    """Weights with which the texture loss is a relative error, each of the L layers counting as much as the others.

        w_l = 4 C_l² / (L ‖Ĝ_l‖²),      so that  texture_loss = 1/L Σ_l ‖G_l − Ĝ_l‖² / ‖Ĝ_l‖²

    0 is the same texture; an image without any features, all G_l = 0, has exactly 1. Without them a layer counts by the
    fourth power of its features' size, which means nothing; Gatys et al. rescale the net's filters for this reason.

    Args:
        wanted: of each layer, (C_l, C_l), or (N, C_l, C_l) for N textures, each of which gets weights of its own.

    Returns:
        of each layer, () or (N,), positive; for `texture_loss`.

    Raises:
        CourseError: a Gram matrix is all zeros.
    """
    sizes = [g.square().sum((-2, -1)) for g in wanted]
    if not all(bool((size > 0).all()) for size in sizes):
        raise CourseError("A layer has no features at all in the texture, so nothing can be compared there.")
    return [4 * g.shape[-1] ** 2 / (len(wanted) * size) for g, size in zip(wanted, sizes, strict=True)]
