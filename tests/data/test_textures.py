"""Photographs, their regions, and drawn textures: there, in range, repeatable, and different from one another."""

import sys
import types

import numpy as np
import pytest
import torch

from course_lib.data.textures import (
    DRAWN,
    crops,
    drawn_texture,
    more_texture_regions,
    photographs,
    texture_regions,
    tiles,
)
from course_lib.errors import CourseError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_photographs_are_there_without_a_network():
    found = photographs()
    assert list(found) == ["china", "flower"]
    for image in found.values():
        assert image.shape == (3, 427, 640) and image.min() == -1 and image.max() == 1
    found["china"].zero_()
    assert photographs()["china"].any()  # a copy


def test_regions_lie_in_the_photographs_and_hold_several_crops():
    whole = photographs()
    regions = texture_regions()
    assert len(regions) >= 6
    for name, region in regions.items():
        assert len(tiles(region, 32)) >= 6, name
        assert any((image[:, :, None] == region[:, :1, None, :1]).all(0).any() for image in whole.values()), name


def test_crops_and_tiles():
    region = torch.arange(3 * 10 * 13).view(3, 10, 13).float()
    cut = tiles(region, 4)
    assert cut.shape == (6, 3, 4, 4)
    assert torch.equal(cut[4], region[:, 4:8, 4:8])
    found = crops(region, 4, 200, generator=seeded())
    corners = found[:, 0, 0, 0]
    assert corners.min() == 0 and corners.max() == 6 * 13 + 9  # every place can be drawn, the last included
    assert torch.equal(found[0], region[:, (k := int(corners[0])) // 13 :, k % 13 :][:, :4, :4])
    for cut in (tiles, lambda *a: crops(*a, 1)):
        with pytest.raises(CourseError, match="no crops of side 11"):
            cut(region, 11)


@pytest.mark.parametrize("kind", DRAWN)
def test_drawn_textures_repeat_themselves_and_have_no_seam(kind):
    x = drawn_texture(kind, 64, generator=seeded())
    assert x.shape == (3, 64, 64) and x.abs().max() <= 1 and x.std() > 0.2
    assert torch.equal(x, drawn_texture(kind, 64, generator=seeded()))
    assert not torch.equal(x, drawn_texture(kind, 64, generator=seeded(1)))
    for dim in (1, 2):
        inside = x.diff(dim=dim).square().mean((0, 3 - dim))
        seam = (x.select(dim, 0) - x.select(dim, -1)).square().mean()
        assert seam <= 1.5 * inside.max()


def test_what_is_not_there():
    with pytest.raises(CourseError, match="no drawn texture 'wool'"):
        drawn_texture("wool")
    with pytest.raises(CourseError, match="multiples of 32"):
        drawn_texture("bricks", 40)


def test_scikit_image_is_used_if_it_is_there_and_missed_by_nobody(monkeypatch, capsys):
    grey = np.full((512, 512), 255, np.uint8)
    data = types.ModuleType("skimage.data")
    data.brick = data.grass = data.gravel = lambda: grey
    monkeypatch.setitem(sys.modules, "skimage", types.ModuleType("skimage"))
    monkeypatch.setitem(sys.modules, "skimage.data", data)
    found = more_texture_regions()
    assert list(found) == ["brick", "grass", "gravel"] and found["grass"].shape == (3, 512, 512)
    assert "brick, grass, gravel" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    assert more_texture_regions() == {}
    assert "not here" in capsys.readouterr().out
