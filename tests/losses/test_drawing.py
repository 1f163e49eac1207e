"""The loss of image and mask: its value by hand, its weights, and what it asks outside the mask."""

import pytest
import torch

from course_lib.losses.drawing import image_and_mask

# two pixels: one of the object, one of the background; three channels
S = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
X = torch.tensor([0.5, 1.0]).expand(3, 1, 2)[None]
U = torch.tensor([0.25, 0.5]).expand(3, 1, 2)[None]
V = torch.tensor([0.5, 0.25]).view(1, 1, 1, 2)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 10 * 3 * (0.25**2 + 0.5**2) / 2 + (0.5**2 + 0.25**2) / 2),
        ({"outside": 0.0}, 10 * 3 * 0.25**2 / 2 + (0.5**2 + 0.25**2) / 2),
        ({"mask_weight": 0.0}, 10 * 3 * (0.25**2 + 0.5**2) / 2),
        ({"image_weight": 0.0}, (0.5**2 + 0.25**2) / 2),
    ],
)
def test_by_hand(options, expected):
    assert image_and_mask(U, V, X, S, **options).item() == pytest.approx(expected)


def test_it_is_a_mean_over_the_batch_and_over_pixels():
    many = [x.repeat(4, 1, 3, 5) for x in (U, V, X, S)]
    torch.testing.assert_close(image_and_mask(*many), image_and_mask(U, V, X, S))


def test_the_background_of_the_true_image_does_not_matter():
    torch.testing.assert_close(image_and_mask(U, V, X - 0.7 * (1 - S), S), image_and_mask(U, V, X, S))
    assert image_and_mask(X * S, S, X, S) == 0


def test_a_smooth_mask_mixes_the_object_with_a_background_that_is_taken_out_again():
    s, c = torch.tensor([1.0, 0.5, 0.0]).view(1, 1, 1, 3), torch.tensor([0.5, -0.5, 0.0]).expand(3, 1, 3)[None]
    for b in (1.0, -0.25):
        x = s * c + (1 - s) * b
        assert image_and_mask(s * c, s, x, s, background=b) < 1e-12
        assert image_and_mask(s * c, s, c, s) < 1e-12
        torch.testing.assert_close(image_and_mask(s * c, s, x, s, background=torch.full_like(x, b)), torch.tensor(0.0))
