"""Eyes and faces: where the pupil is, to a fraction of a pixel; what each attribute changes; the causal graph."""

import math

import pytest
import torch

from course_lib.data.faces import (
    EYE_PARAMETERS,
    EYE_REACH,
    FACE_ATTRIBUTES,
    FACE_EYES,
    FACE_GRAPH,
    FACE_REACH,
    INDEPENDENT_GRAPH,
    Mechanism,
    draw_attributes,
    draw_eyes,
    eye_landmarks,
    eye_pairs,
    faces,
    glasses_given_age,
    render_eyes,
    render_faces,
)
from course_lib.errors import CourseError


def centroid(weight: torch.Tensor) -> torch.Tensor:
    """The centre of mass of (N, H, W), (N, 2): column and row in pixels from the top left corner."""
    rows, columns = (torch.arange(k) + 0.5 for k in weight.shape[1:])
    total = weight.sum((1, 2))
    return torch.stack([(weight.sum(1) * columns).sum(1), (weight.sum(2) * rows).sum(1)], dim=1) / total[:, None]


def pupils(gaze: torch.Tensor, pixels: int, **numbers: float) -> torch.Tensor:
    """Where pupils are in pictures of wide open eyes: the middle of what a larger pupil changes."""
    wide = {"upper": 0.4, "lower": 0.4, "light": 0.35, **numbers}  # and the highlight off the iris
    a, b = (render_eyes(wide | {"pupil": pupil}, gaze, size=pixels) for pupil in (0.35, 0.6))
    return centroid((a - b).abs().sum(1))


GAZES = torch.cartesian_prod(torch.tensor([-30.0, -12, 0, 20, 30]), torch.tensor([-20.0, -5, 0, 20]))


@pytest.mark.parametrize("size", [32, 64])
def test_the_pupil_is_where_the_gaze_says(size):
    for eye in (1.0, 0.9):
        h, v = torch.deg2rad(GAZES).unbind(1)
        true = eye * EYE_REACH * torch.stack([h.sin() * v.cos(), -v.sin()], dim=1)
        found = pupils(GAZES, size, size=eye)
        torch.testing.assert_close(found, (true + 0.5) * size, atol=0.08, rtol=0)
        torch.testing.assert_close(found, eye_landmarks({"size": eye}, GAZES, size=size)[:, 0], atol=0.08, rtol=0)


def test_the_pupil_moves_monotonically_and_turns_away():
    h = torch.linspace(-30, 30, 31)
    right = pupils(torch.stack([h, 0 * h], dim=1), 64)
    up = pupils(torch.stack([0 * h, h * 2 / 3], dim=1), 64)
    assert (right[1:, 0] > right[:-1, 0] + 0.1).all()
    assert (up[1:, 1] < up[:-1, 1] - 0.1).all(), "rows count downwards"
    a, b = (
        render_eyes({"upper": 0.4, "lower": 0.4, "light": 0.35, "pupil": p}, torch.tensor([[0.0, 0], [30, 0]]), size=64)
        for p in (0.0, 0.6)
    )
    area = ((a - b).abs().sum(1) > 0.3).sum((1, 2)).float()
    assert area[1] / area[0] == pytest.approx(math.cos(math.radians(30)), abs=0.06), "a disc seen aslant"


def test_landmarks_lie_on_the_lids():
    """What `upper` changes ends below its landmark's new height; corners are where the opening ends."""
    eyes, gaze = {"tilt": 5.0, "crease": 0.3, "lashes": 0.0, "iris": 1.0}, torch.tensor([[10.0, 8.0]])
    points = eye_landmarks(eyes, gaze, size=64)[0]
    assert points.shape == (7, 2)
    white = (render_eyes(eyes, gaze, size=64)[0].amin(0) > 0.35).float()  # white of the eye, on skin of middle tone
    columns = white.amax(0).nonzero()
    assert points[1, 0] - 0.5 <= columns.min() <= points[1, 0] + 8
    assert points[2, 0] - 8 <= columns.max() <= points[2, 0] + 0.5
    assert points[2, 1] < points[1, 1], "the right corner is higher"
    for k, slack in ((5, 5), (6, 5)):
        top = white[:, int(points[k, 0])].nonzero().min()
        assert points[k, 1] - 1 <= top <= points[k, 1] + slack
    # looking up lifts both lids, and by what is documented
    low, high = eye_landmarks({}, torch.tensor([[0.0, -20.0], [0.0, 20.0]]), size=64)
    way = (low[0, 1] - high[0, 1]).item()
    assert (low[3, 1] - high[3, 1]).item() == pytest.approx(0.75 * way, abs=1e-4)
    assert (low[4, 1] - high[4, 1]).item() == pytest.approx(0.55 * way, abs=1e-4)


def test_every_number_of_an_eye_changes_it():
    middle = render_eyes({}, torch.tensor([5.0, 3.0]), size=32)
    assert middle.shape == (1, 3, 32, 32)
    for name, (low, high) in EYE_PARAMETERS.items():
        ends = render_eyes({name: torch.tensor([low, high])}, torch.tensor([5.0, 3.0]))
        assert (ends[0] - ends[1]).abs().max() > 0.05, name
        assert ends.abs().max() <= 1


def test_pairs_are_one_eye_at_two_gazes():
    pairs = eye_pairs(60, identities=7, seed=4, size=32)
    assert pairs.identity.unique().tolist() == list(range(7))
    assert torch.equal(pairs.source, render_eyes(pairs.eyes, pairs.gaze))
    torch.testing.assert_close(pairs.target, render_eyes(pairs.eyes, pairs.gaze + pairs.turn), atol=1e-4, rtol=0)
    assert torch.equal(pairs.landmarks, eye_landmarks(pairs.eyes, pairs.gaze, size=32))
    known = draw_eyes(7, seed=4)
    assert torch.equal(pairs.eyes["skin"], known["skin"][pairs.identity])
    assert pairs.gaze[:, 0].abs().max() <= 30 and pairs.gaze[:, 1].abs().max() <= 20
    assert pairs.gaze[:, 0].abs().max() > 20
    assert torch.equal(pairs.source, eye_pairs(60, identities=7, seed=4).source)
    assert not torch.equal(pairs.source, eye_pairs(60, identities=7, seed=5).source)
    level = eye_pairs(20, seed=0, vertical=(0, 0))
    assert (level.gaze[:, 1] == 0).all() and (level.turn[:, 1] == 0).all()
    assert sorted(level.identity.tolist()) == list(range(20)), "each its own identity unless told otherwise"


def test_batches_equal_single_images():
    pairs = eye_pairs(270, seed=0)
    images, attributes = faces(270, seed=0)
    for k in (0, 269):
        one = render_eyes({name: v[k : k + 1] for name, v in pairs.eyes.items()}, pairs.gaze[k : k + 1])
        torch.testing.assert_close(one[0], pairs.source[k], atol=1e-4, rtol=0)
        one = render_faces({name: v[k : k + 1] for name, v in attributes.items()})
        torch.testing.assert_close(one[0], images[k], atol=1e-4, rtol=0)
    assert images.abs().max() <= 1 and images.dtype == torch.float32


@pytest.mark.parametrize("size", [32, 64])
def test_every_attribute_changes_its_own_part_of_a_face(size):
    where = {  # rows and columns, as shares, that hold every change
        "glasses": ((0.3, 0.65), (0.1, 0.9)),
        "smile": ((0.3, 0.85), (0.15, 0.85)),
        "gaze_x": ((0.4, 0.56), (0.3, 0.7)),
        "gaze_y": ((0.4, 0.56), (0.3, 0.7)),
        "eye_colour": ((0.4, 0.56), (0.3, 0.7)),
        "mouth": ((0.55, 0.85), (0.2, 0.8)),
        "shirt": ((0.85, 1.0), (0.0, 1.0)),
    }
    for name, (low, high) in FACE_ATTRIBUTES.items():
        a, b = render_faces({name: torch.tensor([low, high])}, size=size)
        changed = (a - b).abs().amax(0) > 0.02
        assert (a - b).abs().max() > 0.08, name
        if name in where:
            rows, columns = ((round(x * size), round(y * size)) for x, y in where[name])
            changed[slice(*rows), slice(*columns)] = False
            assert not changed.any(), name


def test_the_gaze_of_faces_is_exact():
    """The middle of what the colour of the eyes changes; the highlight takes a little of it away."""
    h = torch.linspace(-25, 25, 11)
    brown, grey = (
        render_faces({"gaze_x": h, "eye_colour": c, "smile": 0, "age": 20, "eye_size": 1}, size=64) for c in (0, 1)
    )
    for half, sign in ((slice(0, 32), -1), (slice(32, 64), 1)):
        found = centroid((brown - grey).abs().sum(1)[:, :, half])[:, 0] + half.start
        true = (sign * FACE_EYES[0] + FACE_REACH * torch.deg2rad(h).sin() + 0.5) * 64
        torch.testing.assert_close(found, true, atol=0.35, rtol=0)
        assert (found[1:] > found[:-1]).all()


def test_attributes_follow_the_documented_graph():
    n = 40_000
    a = draw_attributes(n, 0)
    for name, (low, high) in FACE_ATTRIBUTES.items():
        assert a[name].shape == (n,) and a[name].dtype == torch.float32
        assert low <= a[name].min() and a[name].max() <= high, name
    documented = [1 / (1 + math.exp((50 - age) / 6)) for age in (20.0, 50.0, 62.0)]
    assert glasses_given_age(torch.tensor([20.0, 50.0, 62.0])).tolist() == pytest.approx(documented, abs=1e-6)
    for low in range(20, 80, 10):
        some = (a["age"] >= low) & (a["age"] < low + 10)
        assert a["glasses"][some].mean().item() == pytest.approx(
            glasses_given_age(a["age"][some]).mean().item(), abs=0.02
        )
    assert a["age"].mean().item() == pytest.approx(50, abs=0.4)
    assert a["gaze_y"][a["glasses"] == 1].mean().item() == pytest.approx(-5, abs=0.2)
    assert a["gaze_y"][a["glasses"] == 0].mean().item() == pytest.approx(0, abs=0.2)
    assert abs(torch.corrcoef(torch.stack([a["age"], a["skin"]]))[0, 1]) < 0.02
    assert abs(torch.corrcoef(torch.stack([a["age"], a["smile"]]))[0, 1]) < 0.02
    b = draw_attributes(n, 0, graph=INDEPENDENT_GRAPH)
    matrix = torch.corrcoef(torch.stack(list(b.values())))
    assert (matrix - torch.eye(len(b))).abs().max() < 0.025
    assert b["glasses"].mean().item() == pytest.approx(0.5, abs=0.01)


def test_seeing_is_not_doing():
    n = 40_000
    seen, done = draw_attributes(n, 1), draw_attributes(n, 1, do={"glasses": 1})
    worn = seen["glasses"] == 1
    assert seen["age"][worn].mean() > 60, "who is seen with glasses is likely old"
    assert (done["glasses"] == 1).all()
    changed = {name for name in seen if not torch.equal(seen[name], done[name])}
    assert changed == {"glasses", "gaze_y"}, "what glasses cause, and nothing else"
    assert torch.equal(seen["gaze_y"][worn], done["gaze_y"][worn]), "who wore them anyway is the same"
    assert done["gaze_y"].mean().item() == pytest.approx(seen["gaze_y"][worn].mean().item(), abs=0.2)
    older = draw_attributes(n, 1, do={"age": torch.full((n,), 80.0)})
    assert {name for name in seen if not torch.equal(seen[name], older[name])} == {
        *("age", "glasses", "grey", "hair_length", "gaze_y")
    }
    both = draw_attributes(n, 1, do={"age": 80, "glasses": 0})
    assert both["glasses"].max() == 0 and both["grey"].mean() > 0.85


def test_draws_are_seeded_and_other_graphs_can_be_given():
    a, b, c = draw_attributes(50, 0), draw_attributes(50, 0), draw_attributes(50, 1)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not any(torch.equal(a[name], c[name]) for name in a if name != "grey")
    graph = dict(reversed(FACE_GRAPH.items())) | {"smile": Mechanism(("glasses",), lambda u, glasses: 1 - glasses)}
    turned = draw_attributes(500, 0, graph=graph)  # effects listed before causes
    assert torch.equal(turned["smile"], 1 - turned["glasses"])
    assert list(turned) == list(graph)
    images, attributes = faces(10, seed=3, do={"glasses": 1}, size=16)
    assert images.shape == (10, 3, 16, 16)
    assert torch.equal(images, render_faces(attributes, size=16))


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(CourseError, match="Eyes have no 'eyelid'"):
        render_eyes({"eyelid": 1.0}, torch.zeros(2))
    with pytest.raises(CourseError, match="gaze of 3 eyes has the shape"):
        render_eyes(draw_eyes(3), torch.zeros(3))
    with pytest.raises(CourseError, match="one N for all"):
        render_eyes(draw_eyes(3), torch.zeros(4, 2))
    with pytest.raises(CourseError, match="Faces have no 'beard'"):
        render_faces({"beard": 1})
    with pytest.raises(CourseError, match="no 'beard' to set"):
        draw_attributes(3, do={"beard": 1})
    with pytest.raises(CourseError, match="give one number or"):
        draw_attributes(3, do={"age": torch.zeros(2)})
    loop = {"a": Mechanism(("b",), lambda u, b: b), "b": Mechanism(("a",), lambda u, a: a)}
    with pytest.raises(CourseError, match="a, b wait for each other"):
        draw_attributes(3, graph=loop)
    assert (draw_attributes(3, graph=loop, do={"a": 2})["b"] == 2).all(), "an intervention cuts the cycle"
    with pytest.raises(CourseError, match="use at least one"):
        eye_pairs(3, identities=0)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_draws_the_same():
    here, there = eye_pairs(40, seed=0), eye_pairs(40, seed=0, device="cuda")
    assert there.source.is_cuda and there.turn.is_cuda
    torch.testing.assert_close(there.target.cpu(), here.target, atol=1e-3, rtol=0)
    torch.testing.assert_close(faces(40, device="cuda")[0].cpu(), faces(40)[0], atol=1e-3, rtol=0)
