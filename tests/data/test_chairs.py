"""Chairs: geometry against projections worked out by hand, masks, exact labels, mixtures, seeds."""

import math

import pytest
import torch

from course_lib.data.chairs import CHAIR_PARAMETERS, CHAIR_TYPES, chair_shapes, chairs, render_chairs
from course_lib.errors import CourseError

SCALE = 64 / 2.75  # pixels of a chair unit at size 64


@pytest.fixture(scope="module")
def every() -> tuple[torch.Tensor, torch.Tensor]:
    """Every type from 12 sides and 3 heights, 64 x 64."""
    kinds = torch.arange(len(CHAIR_TYPES)).repeat_interleave(36)
    azimuth = (torch.arange(12) * 30.0 + 7).repeat(30)
    elevation = torch.tensor([0.0, 20, 40]).repeat_interleave(12).repeat(10)
    return render_chairs(kinds, azimuth, elevation, size=64)


def plain(**numbers: float) -> torch.Tensor:
    """The shape numbers of a chair with nothing but a seat, 1 x 1 x 0.4, its top at 1.15, and what is given."""
    least = {name: low for name, (low, _) in CHAIR_PARAMETERS.items()}
    least |= {"width": 1.0, "depth": 1.0, "seat_height": 1.15, "seat_thickness": 0.4, "leg_top": 1.0}
    return torch.tensor([list((least | numbers).values())])


def test_images_and_masks_have_their_shapes_and_ranges(every):
    images, masks = every
    assert images.shape == (360, 3, 64, 64)
    assert masks.shape == (360, 1, 64, 64)
    assert images.dtype == masks.dtype == torch.float32
    assert images.min() >= -1 and images.max() <= 1
    assert masks.min() == 0
    assert masks.max() <= 1
    assert masks.flatten(1).amax(1).min() > 0.9999
    border = torch.cat([masks[..., 0], masks[..., -1], masks[..., 0, :], masks[..., -1, :]], dim=-1)
    assert border.max() == 0, "at scale 1 every type fits"


def test_the_mask_covers_what_differs_from_the_background(every):
    images, masks = every
    for grey in (1.0, -1.0, 0.2):
        again, same = render_chairs(chair_shapes(["kitchen", "office"]), 40.0, 20.0, size=64, background=grey)
        assert ((again - grey).abs().amax(1, keepdim=True)[same < 1e-6] < 1e-5).all()
    assert ((images - 1).abs().amax(1) > 0.05)[masks[:, 0] > 0.2].all(), "chairs are darker than white"
    white, mask = render_chairs(["carver"], 200.0, 15.0, background=1.0)
    black, _ = render_chairs(["carver"], 200.0, 15.0, background=-1.0)
    torch.testing.assert_close((1 - (white - black) / 2)[:, :1], mask, atol=1e-5, rtol=0)  # image = mask·chair + …


def test_a_cuboid_covers_the_area_of_its_projection():
    """Faces of sizes (w, d, h) seen along v: the area is the sum of the areas of the faces times |v · normal|."""
    azimuth = torch.arange(0, 90, 7.0)
    for elevation in (-60.0, 0.0, 33.0, 90.0):
        _, mask = render_chairs(plain().expand(len(azimuth), -1), azimuth, elevation, size=64)
        a, e = torch.deg2rad(azimuth), math.radians(elevation)
        true = 0.4 * math.cos(e) * (a.sin().abs() + a.cos().abs()) + abs(math.sin(e))
        torch.testing.assert_close(mask.sum((1, 2, 3)) / SCALE**2, true, rtol=0.02, atol=0)


def test_a_thin_bar_covers_its_area_however_thin():
    """A pedestal of 0.02 units is half a pixel wide: edges are computed, not sampled."""
    only = plain(column=0.02, seat_thickness=0.05)
    none = plain(seat_thickness=0.05)
    for size in (32, 64):
        (_, a), (_, b) = (render_chairs(s, 0.0, 0.0, size=size) for s in (only, none))
        assert (a - b).sum() / (size / 2.75) ** 2 == pytest.approx(0.02 * (1.10 - 0.08), rel=0.1)


def centre(mask: torch.Tensor) -> torch.Tensor:
    """The centre of mass of masks (N, 1, S, S), (N, 2): right and up from the image's middle, in pixels."""
    at = torch.arange(mask.shape[-1]) + 0.5 - mask.shape[-1] / 2
    total = mask.sum((1, 2, 3))
    return torch.stack([(mask.sum((1, 2)) * at).sum(-1), -(mask.sum((1, 3)) * at).sum(-1)], dim=1) / total[:, None]


def test_shift_scale_and_rotation_do_what_they_say():
    _, plain_mask = render_chairs(["ladder"], 30.0, size=64, scale=0.7)
    x, y = centre(plain_mask)[0].tolist()
    _, moved = render_chairs(["ladder"], 30.0, size=64, scale=0.7, shift=(0.125, -0.0625))
    torch.testing.assert_close(moved[..., 4:, 8:], plain_mask[..., :-4, :-8], atol=1e-5, rtol=0)  # right and down
    _, turned = render_chairs(["ladder"], 30.0, size=64, scale=0.7, rotation=90.0)
    torch.testing.assert_close(turned, plain_mask.rot90(1, (2, 3)), atol=1e-4, rtol=0)
    turned = centre(render_chairs(["ladder"], 30.0, size=64, scale=0.7, rotation=20.0)[1])[0]
    c, s = math.cos(math.radians(20)), math.sin(math.radians(20))
    assert turned.tolist() == pytest.approx([c * x - s * y, s * x + c * y], abs=0.1)
    _, half = render_chairs(["ladder"], 30.0, size=64, scale=0.35)
    assert half.sum() / plain_mask.sum() == pytest.approx(0.25, rel=0.03)


def test_azimuth_is_periodic_and_turns_the_chair():
    angles = torch.tensor([0.0, 45.0, 100.0, 270.0])
    kinds = ["armchair"] * 4
    first, _ = render_chairs(kinds, angles)
    assert torch.equal(first, render_chairs(kinds, angles + 360)[0])
    assert torch.equal(first, render_chairs(kinds, angles - 720)[0])
    # chairs are symmetric: the mask seen from -a is that from a, mirrored; light comes from one side
    _, left = render_chairs(["carver"] * 3, torch.tensor([20.0, 90.0, 150.0]), size=64)
    _, right = render_chairs(["carver"] * 3, torch.tensor([-20.0, -90.0, -150.0]), size=64)
    torch.testing.assert_close(left, right.flip(3), atol=1e-3, rtol=0)
    # at 90 degrees the back stands on the right of the image, at 270 on the left
    back = chair_shapes(["kitchen"])
    none = back.clone()
    none[:, list(CHAIR_PARAMETERS).index("back_height")] = 0
    for azimuth, side in ((90.0, 1), (270.0, -1)):
        difference = render_chairs(back, azimuth, size=64)[1] - render_chairs(none, azimuth, size=64)[1]
        assert centre(difference.clamp_min(0))[0, 0] * side > 5


def test_near_parts_hide_far_ones():
    """A red seat under a green back: from behind and from above; and nothing of the legs shows through the seat."""
    red, green = (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0)
    shape = chair_shapes(["shell"])
    top, _ = render_chairs(shape, 0.0, 90.0, size=64, colour=red, cushion_colour=green)
    from_above = top[0, :, 34, 32]  # the middle of the seat
    assert from_above[1] > 0 and from_above[0] < -0.99
    below, _ = render_chairs(shape, 0.0, -60.0, size=64, colour=red, cushion_colour=green)
    assert (below[0, 0] > -0.5).any(), "from below the legs are seen"
    pixels = render_chairs(["stool"], 30.0, 60.0, size=64, colour=red, cushion_colour=green)[0][0]
    assert (pixels[0] > 0).sum() > 20, "legs"
    seat = (pixels[1] > 0.3) & (pixels[2] < -0.9)
    assert seat.sum() > 100
    assert (pixels[0][seat] > -0.9).float().mean() < 0.02, "only at its edge"


def test_mixtures_of_types_are_chairs_and_change_smoothly():
    a, b = chair_shapes(["kitchen", "office"])
    weights = torch.linspace(0, 1, 201)[:, None]
    images, masks = render_chairs(torch.lerp(a, b, weights), 30.0, size=32)
    assert torch.equal(images[:1], render_chairs(["kitchen"], 30.0)[0])
    assert (images[1:] - images[:-1]).square().mean((1, 2, 3)).sqrt().max() < 0.06
    assert masks.sum((1, 2, 3)).min() > 100
    assert len({tuple(row) for row in chair_shapes(CHAIR_TYPES).tolist()}) == 10
    low, high = torch.tensor(list(CHAIR_PARAMETERS.values())).T
    assert ((chair_shapes(CHAIR_TYPES) >= low) & (chair_shapes(CHAIR_TYPES) <= high)).all()


def test_a_batch_equals_single_images():
    drawn = chairs(270, seed=3, transforms=True, colours=True)  # more than are drawn at a time
    assert torch.equal(drawn.images, render_chairs(**drawn.labels)[0])
    for k in (0, 77, 269):
        one = {name: value[k : k + 1] for name, value in drawn.labels.items()}
        image, mask = render_chairs(**one)
        torch.testing.assert_close(image[0], drawn.images[k], atol=1e-4, rtol=0)
        torch.testing.assert_close(mask[0], drawn.masks[k], atol=1e-4, rtol=0)
    assert torch.equal(render_chairs(["bench"])[0], render_chairs(torch.tensor([8]))[0])
    assert render_chairs([])[0].shape == (0, 3, 32, 32)


def test_datasets_are_seeded_and_keep_to_what_was_asked():
    a, b, c = chairs(64, seed=1), chairs(64, seed=1), chairs(64, seed=2)
    assert torch.equal(a.images, b.images)
    assert not torch.equal(a.images, c.images)
    state = torch.get_rng_state()
    some = chairs(300, seed=1, types=["stool", "bench"], azimuths=[0, 90, 200], elevations=(5, 6), size=8)
    assert torch.equal(state, torch.get_rng_state())
    assert set(some.labels["types"].tolist()) == {2, 8}
    assert set(some.labels["azimuth"].tolist()) == {0.0, 90.0, 200.0}
    assert 5 <= some.labels["elevation"].min() <= some.labels["elevation"].max() <= 6
    assert (some.labels["scale"] == 1).all()
    varied = chairs(64, seed=1, transforms=True, colours=True)
    for name in ("types", "azimuth", "elevation"):
        assert torch.equal(varied.labels[name], a.labels[name])
    assert len(varied.labels["colour"].unique(dim=0)) == 64


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(CourseError, match="no chair 'sofa'"):
        render_chairs(["sofa"])
    with pytest.raises(CourseError, match="numbered 0 to 9"):
        render_chairs(torch.tensor([10]))
    with pytest.raises(CourseError, match="multiples of 8, not at 30"):
        render_chairs(["stool"], size=30)
    with pytest.raises(CourseError, match="azimuth of 2 chairs"):
        render_chairs(["stool", "bar"], torch.zeros(3))
    with pytest.raises(CourseError, match="23 shape numbers"):
        render_chairs(torch.zeros(1, 4))
    with pytest.raises(CourseError, match="nothing to draw from"):
        chairs(3, azimuths=[])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_draws_the_same():
    here, there = chairs(50, seed=0, transforms=True), chairs(50, seed=0, transforms=True, device="cuda")
    assert there.images.is_cuda and there.labels["azimuth"].is_cuda
    torch.testing.assert_close(there.images.cpu(), here.images, atol=1e-3, rtol=0)
    torch.testing.assert_close(there.masks.cpu(), here.masks, atol=1e-3, rtol=0)
