"""Gram matrices: what they keep, what they forget, and the paper's normalisation."""

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.losses.texture import content_loss, gram, relative_weights, texture_loss


def maps(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_it_is_the_mean_over_places_of_products():
    f = maps(0, 2, 3, 4, 5)
    expected = torch.zeros(2, 3, 3).double()
    for i in range(4):
        for j in range(5):
            expected += f[:, :, i, j, None] * f[:, None, :, i, j] / 20
    torch.testing.assert_close(gram(f), expected)
    assert torch.linalg.eigvalsh(gram(f)).min() > -1e-12


def test_it_forgets_places_and_size_and_nothing_else():
    f = maps(1, 1, 3, 4, 4)
    moved = f.flatten(2)[:, :, torch.randperm(16, generator=torch.Generator().manual_seed(0))].view(f.shape)
    torch.testing.assert_close(gram(moved), gram(f))
    torch.testing.assert_close(gram(f.repeat(1, 1, 2, 3)), gram(f))
    each = [c.roll(k, 1) for k, c in enumerate(f[0])]  # moved, each map by itself
    alone = torch.stack(each)[None]
    assert not torch.allclose(gram(alone), gram(f))


def test_the_loss_is_the_papers():
    f, g = maps(2, 2, 3, 4, 4), maps(3, 2, 3, 4, 4)
    sums = [x.flatten(2) @ x.flatten(2).mT for x in (f, g)]
    paper = (sums[0] - sums[1]).square().sum((1, 2)) / (4 * 3**2 * 16**2)
    torch.testing.assert_close(texture_loss([gram(f)], [gram(g)]), paper)
    both = texture_loss([gram(f), gram(f)], [gram(g), gram(f)[:1]], [0.5, 2.0])
    torch.testing.assert_close(both[0], 0.5 * paper[0])
    assert both.shape == (2,) and both[1] > 0.5 * paper[1]


def test_content_sees_places():
    f = maps(4, 2, 3, 4, 4)
    assert content_loss(f, f[:1]).tolist() == [0.0, pytest.approx((f[1] - f[0]).square().mean().item())]
    assert (content_loss(f.roll(1, 3), f) > 0.1).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gram(maps(0, 3, 4, 4)), r"\(N, C, H, W\), not \(3, 4, 4\)"),
        (lambda: texture_loss([gram(maps(0, 1, 2, 2, 2))], []), "1 layers, 0 wanted"),
        (lambda: texture_loss([], []), "0 layers"),
    ],
)
def test_what_does_not_fit_is_one_sentence(call, words):
    with pytest.raises(CourseError, match=words):
        call()


def test_relative_weights_make_the_loss_a_relative_error():
    f, g = maps(5, 2, 3, 4, 4), maps(6, 1, 4, 2, 2)
    wanted = [gram(f)[:1], gram(g)]
    weights = relative_weights(wanted)
    zero = [torch.zeros(1, 3, 3).double(), torch.zeros(1, 4, 4).double()]
    torch.testing.assert_close(texture_loss(zero, wanted, weights), torch.ones(1).double())
    torch.testing.assert_close(
        texture_loss([1.5 * w for w in wanted], wanted, weights), torch.full((1,), 0.25).double()
    )
    with pytest.raises(CourseError, match="no features"):
        relative_weights(zero)
