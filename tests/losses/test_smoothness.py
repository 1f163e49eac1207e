"""Total variation and the alpha-norm: by hand, by their powers, and a gradient where an image is flat."""

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.losses.smoothness import alpha_norm, total_variation


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0, 3.0])
def test_by_loops(beta):
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for n in range(2):
        total = 0.0
        for c in range(3):
            for i in range(4):
                for j in range(5):
                    across = x[n, c, i, j + 1] - x[n, c, i, j] if j < 4 else 0.0
                    down = x[n, c, i + 1, j] - x[n, c, i, j] if i < 3 else 0.0
                    total += float(across**2 + down**2) ** (beta / 2)
        assert total_variation(x, beta=beta)[n].item() == pytest.approx(total)


def test_one_does_not_mind_how_steep_and_two_does():
    step = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0]).expand(1, 1, 1, 5)
    ramp = torch.linspace(0, 1, 5).expand(1, 1, 1, 5)
    torch.testing.assert_close(total_variation(step, beta=1), total_variation(ramp, beta=1))
    torch.testing.assert_close(total_variation(step, beta=2), 4 * total_variation(ramp, beta=2))


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5, 2.0])
def test_the_gradient_is_right_and_finite_where_the_image_is_flat(beta):
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: total_variation(x, beta=beta), x)
    flat = torch.zeros(1, 1, 3, 3, requires_grad=True)
    total_variation(flat, beta=beta).sum().backward()
    assert torch.equal(flat.grad, torch.zeros_like(flat))


def test_alpha_norm():
    x = torch.tensor([[-2.0, 0.5]]).view(1, 1, 1, 2).repeat(2, 1, 1, 1)
    torch.testing.assert_close(alpha_norm(x), torch.full((2,), 64 + 0.5**6))
    torch.testing.assert_close(alpha_norm(x, alpha=2), torch.full((2,), 4.25))


def test_a_power_that_is_not_positive_is_refused():
    with pytest.raises(CourseError, match="more than 0"):
        total_variation(torch.zeros(1, 1, 2, 2), beta=0)
