"""The loss of a net that draws an object and says where it is: the image, and its mask."""

from __future__ import annotations

from torch import Tensor


def image_and_mask(
    image: Tensor,
    mask: Tensor,
    true_image: Tensor,
    true_mask: Tensor,
    *,
    image_weight: float = 10.0,
    mask_weight: float = 1.0,
    outside: float = 1.0,
) -> Tensor:
    """The squared error of the drawn object plus that of its mask.

        image_weight · ‖u − x·s‖² + mask_weight · ‖v − s‖²

    for image u, mask v, true image x and true mask s. Outside its mask the object is 0, so there u is to be 0 whatever
    background x shows: outside = 1 asks that as strongly as the rest (the paper), 0 leaves it free, and then a
    pixel counts as far as the true mask covers it. Squares are summed over channels and averaged over pixels and over
    the batch: the paper's sum, divided by H·W.

    Args:
        image, mask: what was drawn, (N, C, H, W) and (N, 1, H, W), any real numbers.
        true_image, true_mask: (N, C, H, W) in [-1, 1] and (N, 1, H, W) in [0, 1].
        image_weight, mask_weight: 10 and 1, the paper's; 0 leaves a term out.
        outside: weight of the image's error where the true mask is 0, in [0, 1].

    Returns:
        (), in squared units of the image, at least 0.

    Dosovitskiy, Springenberg & Brox 2015, Learning to Generate Chairs with Convolutional Neural Networks, section 3.
    """
    weight = true_mask + outside * (1 - true_mask)  # (N, 1, H, W)
    of_image = (weight * (image - true_image * true_mask).square()).sum(1).mean()
    of_mask = (mask - true_mask).square().sum(1).mean()
    return image_weight * of_image + mask_weight * of_mask
