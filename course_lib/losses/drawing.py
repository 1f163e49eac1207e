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
    background: float | Tensor | None = None,
) -> Tensor:
    """The squared error of the drawn object plus that of its mask.

        image_weight · ‖u − o‖² + mask_weight · ‖v − s‖²,    o = x·s  or  o = x − (1 − s)·b

    for image u, mask v, true image x and true mask s; o is the object alone, 0 outside its mask. The paper's masks are
    0 or 1, and it takes x·s whatever stands behind the object. A smooth mask is a share s of the pixel: a renderer
    mixes x = s·c + (1 − s)·b of the object's colour c and the background b. Then o = s·c; give b as `background`, or
    give c in the place of x. (x·s would be s·c taken by the share s once more, and some of the old background.)

    outside = 1 asks u to be 0 outside the mask as strongly as the rest (the paper), 0 leaves it free, and then a pixel
    counts as far as the true mask covers it. Squares are summed over channels and averaged over pixels and over the
    batch: the paper's sum, divided by H·W.

    Args:
        image, mask: what was drawn, (N, C, H, W) and (N, 1, H, W), any real numbers.
        true_image, true_mask: (N, C, H, W) in [-1, 1] and (N, 1, H, W) in [0, 1].
        image_weight, mask_weight: 10 and 1, the paper's; 0 leaves a term out.
        outside: weight of the image's error where the true mask is 0, in [0, 1].
        background: what stands behind the object in the true image, a number or images, in [-1, 1]; None takes x·s.

    Returns:
        (), in squared units of the image, at least 0.

    Dosovitskiy, Springenberg & Brox 2015, Learning to Generate Chairs with Convolutional Neural Networks, section 3.
    """
    weight = true_mask + outside * (1 - true_mask)  # (N, 1, H, W)
    alone = true_image * true_mask if background is None else true_image - (1 - true_mask) * background
    of_image = (weight * (image - alone).square()).sum(1).mean()
    of_mask = (mask - true_mask).square().sum(1).mean()
    return image_weight * of_image + mask_weight * of_mask
