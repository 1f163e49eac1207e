"""Textures found by descent on the pixels and drawn by a network: small ones, and that each part does what it says."""

import itertools

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.loop import fit
from course_lib.losses.texture import relative_weights
from course_lib.nets.descriptors import RandomFilters
from course_lib.nets.texture_generator import TextureGenerator
from course_lib.systems.texture import Likeness, TextureNetwork, TexturePreImage, spread


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def stripes(size=24, shift=0.0):
    """A texture of two colours, (1, 3, size, size)."""
    wave = torch.sin(2 * torch.pi * (torch.arange(size) / 6 + shift)).expand(size, size)
    return torch.stack([wave, -0.5 * wave, 0.3 * torch.ones_like(wave)])[None] * 0.8


def descriptor(**options):
    return RandomFilters(**{"filters": 12, "size": 3, "levels": 2, "generator": seeded()} | options)


def noise(*shape, seed=0):
    return 0.3 * torch.randn(shape, generator=seeded(seed))


def test_the_likeness_is_relative():
    look = Likeness(descriptor(), stripes())
    assert float(look(stripes())) < 1e-10
    plain = descriptor(thresholds=(0, 0))
    look = Likeness(plain, stripes())
    torch.testing.assert_close(look(0 * stripes()), torch.ones(1))
    strong = Likeness(plain, 2 * stripes())
    x = noise(2, 3, 24, 24)
    torch.testing.assert_close(strong(2 * x), look(x))  # contrast cancels
    assert float(look(stripes(shift=0.5))) < 0.5 * float(look(stripes().mT))  # moved is more alike than turned


def test_each_image_may_have_a_texture_of_its_own():
    two = torch.cat([stripes(), stripes().mT])
    both = Likeness(descriptor(), two)
    x = noise(2, 3, 24, 24)
    alone = torch.cat([Likeness(descriptor(), two[k : k + 1])(x[k : k + 1]) for k in range(2)])
    torch.testing.assert_close(both(x), alone)
    assert [w.shape for w in relative_weights(both.wanted)] == [(2,), (2,)]


def test_no_features_nothing_to_compare():
    with pytest.raises(CourseError, match="no features at all"):
        Likeness(descriptor(thresholds=(0, 0)), torch.zeros(1, 3, 24, 24))


def test_the_pre_image_is_another_image_with_the_same_statistics():
    look = Likeness(descriptor(), stripes())
    system = TexturePreImage(likeness=look, start=noise(2, 3, 24, 24))
    before = look(system.image)
    curves = fit(system.step, itertools.repeat(()), 80)
    assert (look(system.image) < before / 100).all()
    assert curves["loss"] == sorted(curves["loss"], reverse=True)
    assert (system.image[0] - system.image[1]).abs().mean() > 0.05  # the starts were different
    assert system.image.abs().max() <= 1


def test_content_keeps_the_layout():
    content = torch.full((1, 3, 24, 24), -0.7)
    content[..., 6:18, 6:18] = 0.7
    kept = {}
    for weight in (0.0, 5.0):
        look = Likeness(descriptor(), stripes(), content_weight=weight)
        system = TexturePreImage(likeness=look, start=noise(1, 3, 24, 24), content=content)
        fit(system.step, itertools.repeat(()), 60)
        kept[weight] = [float(part) for part in look.parts(system.image, system.layout)]
    assert kept[5.0][1] < 0.5 * kept[0.0][1] and kept[5.0][0] > kept[0.0][0]


def test_content_is_a_relative_error_and_leaving_the_box_costs():
    plain, content = descriptor(thresholds=(0, 0)), noise(2, 3, 24, 24)
    look = Likeness(plain, stripes(), content_weight=1.0)
    _, off = look.parts(0 * content, look.layout(content))
    torch.testing.assert_close(off, torch.ones(2))  # nothing is all of it away
    system = TexturePreImage(likeness=look, start=content, outside=3.0)
    x = torch.full((1, 3, 24, 24), -1.5)
    torch.testing.assert_close(system.objective(x) - look(x), torch.tensor([3 * 0.25]), rtol=1e-3, atol=1e-3)


def network(**options):
    torch.manual_seed(0)
    content = options.pop("content", 0)
    weight = {"content_weight": 2.0} if content else {}
    return TextureNetwork(
        generator=TextureGenerator(scales=2, channels=4, content=content),
        likeness=Likeness(descriptor(), stripes(), **weight),
        **{"batch": 3, "size": 16} | options,
    )


def test_a_network_learns_to_draw_the_texture_at_every_size():
    system = network()
    before = float(system.likeness(system.sample(2, 16)).mean())
    curves = fit(system.step, itertools.repeat(()), 120)
    assert curves["loss"][-1] < 0.3 * curves["loss"][0]
    for sides in ((16,), (24, 32)):
        x = system.sample(2, *sides)
        assert x.shape == (2, 3, sides[0], sides[-1])
        assert float(system.likeness(x).mean()) < 0.5 * before
        assert (x[0] - x[1]).abs().max() > 1e-3


def test_a_network_learns_to_stylize():
    system = network(content=3)
    photographs = [(torch.rand(3, 3, 16, 16, generator=seeded(k)) * 2 - 1,) for k in range(8)]
    curves = fit(system.step, photographs, 80)
    assert curves["loss"][-1] < 0.7 * curves["loss"][0]
    torch.testing.assert_close(
        torch.tensor(curves["loss"]),
        torch.tensor(curves["texture"]) + 2 * torch.tensor(curves["content"]),
        rtol=1e-4,
        atol=1e-5,
    )
    assert system.stylize(torch.zeros(2, 3, 32, 24)).shape == (2, 3, 32, 24)


def test_sampling_leaves_the_generator_as_it_was():
    system = network()
    before = {key: value.clone() for key, value in system.generator.state_dict().items()}
    system.sample(2)
    assert all(torch.equal(value, before[key]) for key, value in system.generator.state_dict().items())
    assert system.generator.training


def test_the_spread_is_to_the_nearest_other():
    x = torch.tensor([0.0, 1.0, 4.0]).view(3, 1, 1, 1).expand(3, 3, 2, 2)
    expected = 0.5 * torch.tensor([1.0, 1.0, 9.0]).log().mean()
    torch.testing.assert_close(spread(x), expected)
    with pytest.raises(CourseError, match="two or more"):
        network(batch=1, diversity=0.1)


def test_diversity_moves_images_apart():
    ends = {}
    for weight in (0.0, 1.0):
        system = network(diversity=weight)
        fit(system.step, itertools.repeat(()), 60)
        ends[weight] = float(spread(system.sample(4)))
    assert ends[1.0] > ends[0.0]
