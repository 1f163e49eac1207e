"""Adversarial examples: closed forms for linear nets, the ball and the box, and nets that were trained."""

from functools import partial

import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from course_lib.data.digits import digits
from course_lib.errors import CourseError
from course_lib.metrics.robustness import error_rate, local_lipschitz, noise_of_norm, stretch, transfer_table
from course_lib.systems import nearest_adversarial as nearest
from course_lib.systems.adversarial import fgsm, input_gradient, pgd

nearest_adversarial = partial(nearest.nearest_adversarial, minimize=minimize)


def linear(classes=2, inputs=12, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, classes)).double()


def points(n=6, seed=1, reach=0.2):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(n, 3, 2, 2, generator=generator, dtype=torch.float64) * 2 - 1) * reach


def margin(net, x, target):
    """Direction d and number m, (N, D) and (N,): with two classes the net says target where d·x > m."""
    w, b = net[1].weight.detach(), net[1].bias.detach()
    return w[target] - w[1 - target], b[1 - target] - b[target]


@pytest.fixture(scope="module")
def trained():
    """Two perceptrons of different width that learned real digits, and images and labels they have not seen."""
    (x, y), (new, labels) = digits("train"), digits("test")
    nets = {}
    for seed, hidden in enumerate((64, 32)):
        torch.manual_seed(seed)
        layers = nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10)
        net = nn.Sequential(nn.Flatten(), *layers)
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        for _ in range(80):
            loss = nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        nets[f"{hidden} units"] = net
    return nets, new[:100], labels[:100]


def test_fgsm_steps_by_eps_along_the_sign_of_the_gradient():
    net, x, y = linear(3), points(), torch.arange(6) % 3
    w = net[1].weight.detach()
    p = net(x).softmax(1).detach()
    gradient = ((p - nn.functional.one_hot(y, 3)) @ w).view_as(x)  # of the cross-entropy, by hand
    torch.testing.assert_close(input_gradient(net, x, y), gradient)
    torch.testing.assert_close(fgsm(net, x, y, eps=0.1), x + 0.1 * gradient.sign())
    torch.testing.assert_close(fgsm(net, x, y, eps=0.1, targeted=True), x - 0.1 * gradient.sign())
    cut = fgsm(net, x, y, eps=5)
    torch.testing.assert_close(cut, gradient.sign())


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("start", [None, 0])
@pytest.mark.parametrize("eps", [0.0, 0.3, 3.0])
def test_pgd_stays_in_the_ball_and_in_the_box(norm, start, eps):
    net, x, y = linear(3), points(reach=1.0), torch.arange(6) % 3
    generator = None if start is None else torch.Generator().manual_seed(start)
    adversarial = pgd(net, x, y, eps=eps, norm=norm, steps=7, step_size=0.2, generator=generator)
    assert adversarial.abs().max() <= 1
    r = (adversarial - x).flatten(1)
    size = r.abs().amax(1) if norm == "linf" else r.norm(dim=1)
    assert size.max() <= eps + 1e-12
    assert size.max() >= 0.9 * min(eps, 1.0)  # and goes to the border of the ball


def test_pgd_finds_the_worst_point_of_the_ball_for_a_linear_net():
    net, x, y = linear(), points(), torch.arange(6) % 2
    d, _ = margin(net, x, 1 - y)
    r = (pgd(net, x, y, eps=0.5, norm="l2") - x).flatten(1)
    torch.testing.assert_close(r, 0.5 * d / d.norm(dim=1, keepdim=True))
    r = (pgd(net, x, y, eps=0.3) - x).flatten(1)
    torch.testing.assert_close(r, 0.3 * d.sign())
    r = (pgd(net, x, 1 - y, eps=0.3, targeted=True) - x).flatten(1)
    torch.testing.assert_close(r, 0.3 * d.sign())


def test_pgd_starts_at_random_places_of_the_ball_if_asked():
    net, x, y = linear(), points(), torch.arange(6) % 2
    ends = [pgd(net, x, y, eps=0.5, norm="l2", steps=1, step_size=0.0, generator=torch.Generator().manual_seed(k))
            for k in (0, 0, 1)]  # fmt: skip
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])
    assert torch.equal(pgd(net, x, y, eps=0.5, norm="l2", steps=1, step_size=0.0), x)


def test_lbfgs_finds_the_nearest_point_beyond_the_plane_to_one_percent():
    net, x = linear(), points()
    target = 1 - net(x).argmax(1)
    d, m = margin(net, x, target)
    expected = (m - (d * x.flatten(1)).sum(1)) / d.norm(dim=1)  # the distance to the plane
    found = nearest_adversarial(net, x, target)
    assert found.found.all()
    assert found.images.abs().max() < 1  # the box was not in the way
    assert (found.norm >= expected * (1 - 1e-9)).all()
    torch.testing.assert_close(found.norm, expected, rtol=0.01, atol=0)
    r = (found.images - x).flatten(1)
    cosine = (r * d).sum(1) / (r.norm(dim=1) * d.norm(dim=1))
    assert cosine.min() > 0.999


def test_lbfgs_keeps_to_the_box_and_is_nearest_there():
    """With a box the nearest point is clip(x + t·d) with the smallest t that is enough."""
    net, x = linear(), 0.9 * points().sign()  # near corners
    target = 1 - net(x).argmax(1)
    d, m = margin(net, x, target)
    low, high = torch.zeros(6, dtype=torch.float64), torch.full((6,), 1e3, dtype=torch.float64)
    for _ in range(100):
        t = (low + high) / 2
        r = (x.flatten(1) + t[:, None] * d).clamp(-1, 1)
        enough = (d * r).sum(1) > m
        low, high = torch.where(enough, low, t), torch.where(enough, t, high)
    expected = ((x.flatten(1) + high[:, None] * d).clamp(-1, 1) - x.flatten(1)).norm(dim=1)
    possible = d.abs().sum(1) > m  # the best corner lies beyond the plane
    assert possible.any()

    def watched(objective, start, **options):
        def inside(values):
            assert abs(values).max() <= 1  # catches a search without a box, clipped afterwards
            return objective(values)

        assert options["method"] == "L-BFGS-B"
        return minimize(inside, start, **options)

    found = nearest_adversarial(net, x, target, minimize=watched)
    assert found.images.abs().max() <= 1
    assert torch.equal(found.found, possible)
    torch.testing.assert_close(found.norm[possible], expected[possible], rtol=0.01, atol=0)
    free = (m - (d * x.flatten(1)).sum(1)) / d.norm(dim=1)
    assert (expected[possible] > 1.02 * free[possible]).any()  # the box was in the way of some


def test_lbfgs_leaves_alone_what_is_fooled_already_and_says_what_it_cannot_do():
    net, x = linear(), points()
    says = net(x).argmax(1)
    found = nearest_adversarial(net, x, says)
    assert found.found.all() and not found.norm.any() and torch.equal(found.images, x)
    never = linear()
    never[1].bias.data = torch.tensor([100.0, -100.0], dtype=torch.float64)
    found = nearest_adversarial(never, x[:2], torch.ones(2, dtype=torch.int64))
    assert not found.found.any() and not found.norm.any() and found.weight.isnan().all()


def test_lbfgs_fools_a_trained_net_with_less_than_fgsm_needs(trained):
    nets, x, y = trained
    net = nets["64 units"]
    x, y = x[:4], y[:4]
    target = (y + 1) % 10
    found = nearest_adversarial(net, x, target, searches=5)
    assert found.found.all()
    assert torch.equal(net(found.images).argmax(1), target)
    assert found.images.abs().max() <= 1
    for row in range(4):
        needed = [
            (fgsm(net, x[row : row + 1], target[row : row + 1], eps=eps, targeted=True) - x[row : row + 1]).norm()
            for eps in torch.linspace(0.02, 1.5, 75).tolist()
            if error_rate(
                net,
                fgsm(net, x[row : row + 1], target[row : row + 1], eps=eps, targeted=True),
                target[row : row + 1],
            )
            == 0
        ]
        assert not needed or found.norm[row] < min(needed)


def test_transfer_and_noise_as_its_control(trained):
    nets, x, y = trained
    attack = partial(pgd, eps=2.0, norm="l2")
    table = transfer_table(nets, x, y, attack, generator=torch.Generator().manual_seed(0))
    assert table.names == list(nets)
    assert table.clean.max() < 0.15
    assert table.fooled.diagonal().min() > 0.9
    off = ~torch.eye(2, dtype=torch.bool)
    assert (table.fooled[off] > table.noise[off] + 0.2).all()  # it transfers
    assert table.noise.max() < table.clean.max() + 0.15  # and noise as long does not fool
    assert table.norm.max() <= 2 + 1e-5
    assert "made on 32 units" in str(table)
    # by hand: rows are who it was made on, columns who sees it
    one, two = nets.values()
    made_on_one = attack(one, x, y)
    assert table.fooled[0, 1] == error_rate(two, made_on_one, y)
    assert table.fooled[0, 0] == error_rate(one, made_on_one, y)


def test_noise_has_the_length_asked_for_inside_the_box():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(50, 1, 8, 8, generator=generator) * 2 - 1
    x[:25] = x[:25].sign()  # corners: half of the pixels could not move outwards
    norm = torch.linspace(0, 5, 50)
    noisy = noise_of_norm(x, norm, generator=generator)
    assert noisy.abs().max() <= 1
    torch.testing.assert_close((noisy - x).flatten(1).norm(dim=1), norm, rtol=1e-4, atol=1e-6)


def test_the_local_lipschitz_estimate_is_the_largest_singular_value():
    net, x = linear(5), points()
    exact = torch.linalg.matrix_norm(net[1].weight.detach(), 2)
    found = local_lipschitz(net, x, steps=100, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, exact.expand(6), rtol=1e-6, atol=0)
    random = noise_of_norm(x, torch.full((6,), 0.1), generator=torch.Generator().manual_seed(1))
    assert (stretch(net, x, random) < found).all()


def test_the_local_lipschitz_estimate_of_a_trained_net_is_that_of_its_jacobian(trained):
    nets, x, _ = trained
    net = nets["64 units"]
    found = local_lipschitz(net, x[:5], steps=100, generator=torch.Generator().manual_seed(0))
    for row in range(5):
        jacobian = torch.autograd.functional.jacobian(lambda x: net(x)[0], x[row : row + 1]).reshape(10, 64)
        torch.testing.assert_close(found[row], torch.linalg.matrix_norm(jacobian, 2), rtol=0.01, atol=0)
    noisy = noise_of_norm(x[:5], torch.full((5,), 0.1), generator=torch.Generator().manual_seed(1))
    assert (stretch(net, x[:5], noisy) < found).all()


def test_a_stretch_by_hand():
    net, x = linear(), points()
    changed = x.clone()
    changed[:, 0, 0, 0] += 0.5
    torch.testing.assert_close(stretch(net, x, changed), net[1].weight.detach()[:, 0].norm().expand(6))


def test_nothing_is_left_in_the_net():
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Dropout(0.5), nn.Linear(12, 3)).double().train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    x, y = points(), torch.arange(6) % 3
    fgsm(net, x, y, eps=0.1)
    pgd(net, x, y, eps=0.1, steps=3)
    nearest_adversarial(net, x[:1], y[1:2], searches=1)
    local_lipschitz(net, x, steps=2, generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert all(module.training for module in net.modules())
    assert all(p.grad is None for p in net.parameters())
    assert not x.requires_grad


def test_bad_input_is_refused_in_a_sentence():
    net, x, y = linear(), points(), torch.zeros(6, dtype=torch.int64)
    with pytest.raises(CourseError, match="linf"):
        pgd(net, x, y, eps=0.1, norm="l1")
    with pytest.raises(CourseError, match="eps"):
        pgd(net, x, y, eps=-0.1)
    with pytest.raises(CourseError, match="One target"):
        nearest_adversarial(net, x, y[:2])
    with pytest.raises(CourseError, match="box"):
        nearest_adversarial(net, 20 * x, y)
