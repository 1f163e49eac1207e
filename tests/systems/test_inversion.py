"""The pre-image: a linear layer's closed form, what the terms do, and that the net is left alone."""

import itertools

import pytest
import torch
from torch import nn

from course_lib.errors import CourseError
from course_lib.loop import fit
from course_lib.losses.smoothness import total_variation
from course_lib.systems.inversion import PreImage


def images(n=3, c=1, size=6, seed=0):
    smooth = torch.rand(n, c, 3, 3, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.8
    return nn.functional.interpolate(smooth, size=(size, size), mode="bilinear")


def linear(outputs, inputs=36, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs, bias=False))


def conv():
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
    return nn.Sequential(*layers, nn.BatchNorm2d(8), nn.Dropout(0.5), nn.Flatten(), nn.Linear(72, 5))


def steps(system, n):
    for _ in range(n):
        metrics = system.step()
    return metrics


def test_a_linear_layer_gives_what_is_nearest_to_the_start():
    """Descent from 0 moves within the rows of W, so it ends at W⁺ W x*, not at x*. Catches a wrong φ or start."""
    net, x = linear(12), images()
    system = PreImage(net=net, layer="1", images=x, variation=0, start=torch.zeros_like(x))
    w = net[1].weight.detach()
    rate = 0.5 * float(system.size.min()) / float(torch.linalg.matrix_norm(w, 2)) ** 2
    system.image_opt = torch.optim.SGD([system.image], lr=rate)
    steps(system, 300)
    expected = (torch.linalg.pinv(w) @ w @ x.flatten(1).T).T.view_as(x)
    assert expected.abs().max() < 1  # the box is not in the way
    torch.testing.assert_close(system.image.detach(), expected, rtol=0, atol=1e-3)
    assert (expected - x).abs().max() > 0.1


def test_a_layer_that_forgets_nothing_gives_the_image_back():
    x = images()
    system = PreImage(net=linear(60), layer="", images=x, variation=0, generator=torch.Generator().manual_seed(0))
    assert not system.distance(x).any()
    steps(system, 300)
    assert (system.image - x).square().mean() < 1e-3 * x.var()


def test_the_distance_by_hand():
    net, x = linear(4), images()
    system = PreImage(net=net, layer="1", images=x)
    torch.testing.assert_close(system.distance(torch.zeros_like(x)), torch.ones(3))
    torch.testing.assert_close(system.distance(3 * x), torch.full((3,), 4.0))


@pytest.mark.parametrize("layer", ["0", "3", "8"])
def test_the_distance_falls_tenfold_at_every_layer_and_variation_smooths(layer):
    x = images()
    ends = {}
    for weight in (0.0, 0.03):
        seed = torch.Generator().manual_seed(0)
        system = PreImage(net=conv(), layer=layer, images=x, variation=weight, generator=seed)
        before = float(system.distance(system.image).mean().detach())
        metrics = steps(system, 120)
        assert float(metrics["distance"]) < before / 10
        ends[weight] = float(total_variation(system.image.detach()).mean())
    assert ends[0.03] < ends[0.0] * (1 if layer == "0" else 0.8)  # the first layer tells of the noise itself


def test_metrics_are_what_they_say():
    x = images()
    system = PreImage(net=conv(), layer="3", images=x, variation=0.5, beta=1.5, norm=2.0, alpha=4.0, start=0.9 * x)
    metrics = system.step()
    with torch.no_grad():
        distance = system.distance(0.9 * x).mean()
        roughness = total_variation(0.9 * x, beta=1.5).mean() / 36
        norm = (0.9 * x).pow(4).mean()
    torch.testing.assert_close(metrics["distance"], distance)
    torch.testing.assert_close(metrics["variation"], roughness)
    torch.testing.assert_close(metrics["loss"], distance + 0.5 * roughness + 2 * norm)


def test_the_net_and_its_mode_stay_as_they_were():
    net = conv().train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    steps(PreImage(net=net, layer="8", images=images()), 3)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())  # running means, too
    assert all(module.training for module in net.modules())
    assert all(p.grad is None for p in net.parameters())


def test_an_image_does_not_depend_on_its_neighbours():
    x = images()
    together = PreImage(net=conv(), layer="3", images=x, start=0 * x)
    alone = PreImage(net=conv(), layer="3", images=x[:1], start=0 * x[:1])
    steps(together, 20)
    steps(alone, 20)
    torch.testing.assert_close(together.image[:1], alone.image, rtol=0, atol=1e-4)


def test_it_runs_in_the_loop_stays_in_the_box_and_repeats_itself():
    ends = []
    for _ in range(2):
        system = PreImage(
            net=conv(), layer="3", images=images().sign(), variation=0, generator=torch.Generator().manual_seed(3)
        )
        curves = fit(system.step, itertools.repeat(()), 60)
        ends.append(system.image.detach())
    assert curves["distance"][-1] < curves["distance"][0]
    assert ends[0].abs().max() == 1
    assert torch.equal(*ends)


def test_nothing_to_find_is_refused_in_a_sentence():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    nn.init.zeros_(net[0].weight)
    nn.init.constant_(net[0].bias, -1.0)
    with pytest.raises(CourseError, match="all zeros"):
        PreImage(net=net, layer="1", images=images())
    with pytest.raises(CourseError, match="no layer"):
        PreImage(net=net, layer="9", images=images())
