"""Which descriptor one gets is said, and never changes silently."""

from urllib.error import URLError

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.metrics.texture import texture_descriptor
from course_lib.nets.descriptors import RandomFilters, VGG19Maps


def test_random_filters_are_the_same_at_every_call(capsys):
    a, b = (texture_descriptor("random", filters=6, levels=2) for _ in range(2))
    assert isinstance(a, RandomFilters) and torch.equal(a.weights, b.weights)
    assert "random filters, 6 of 5 × 5 on each of 2 scales" in capsys.readouterr().out
    other = texture_descriptor("random", filters=6, levels=2, generator=torch.Generator().manual_seed(5))
    assert not torch.equal(a.weights, other.weights)


def test_without_a_network_auto_says_what_it_takes_instead_and_vgg19_refuses(monkeypatch, tmp_path, capsys):
    def no_network(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
    with pytest.raises(CourseError, match="VGG-19 could not be loaded"):
        texture_descriptor("vgg19", pools=1, root=tmp_path)
    assert isinstance(texture_descriptor("auto", pools=1, root=tmp_path, filters=4), RandomFilters)
    said = capsys.readouterr().out
    assert "VGG-19 could not be loaded" in said and "Instead:\ntexture descriptor: random filters" in said


@pytest.mark.parametrize("which", ["auto", "vgg19"])
def test_weights_that_can_be_had_are_taken(monkeypatch, tmp_path, capsys, which):
    torch.manual_seed(0)
    state = {f"features.{key}": value for key, value in VGG19Maps(pools=1).layers.state_dict().items()}
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *args, **kwargs: state)
    net = texture_descriptor(which, pools=1, root=tmp_path)
    assert torch.equal(net.layers[0].weight, state["features.0.weight"])
    assert capsys.readouterr().out == "texture descriptor: VGG-19, trained on ImageNet\n"


def test_there_is_no_other():
    with pytest.raises(CourseError, match="auto, vgg19 or random, not 'vgg16'"):
        texture_descriptor("vgg16")
