"""Parametric eyes and faces: exact gaze in degrees, one identity at many gazes, attributes along a known causal graph.

Lengths are shares of the image's width, x to the right and y up from its middle. Shapes are painted one over the other;
a shape covers the share clamp(d · size + 1/2, 0, 1) of a pixel whose signed distance to the shape's edge is d.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch

from course_lib.errors import CourseError

# --- what both draw with ----------------------------------------------------------------------------------------------

SKIN = ((0.98, 0.85, 0.76), (0.90, 0.71, 0.57), (0.68, 0.47, 0.35), (0.41, 0.28, 0.21))  # RGB in [0, 1] from here on
IRIS = ((0.33, 0.19, 0.10), (0.50, 0.33, 0.14), (0.36, 0.47, 0.25), (0.25, 0.46, 0.66), (0.50, 0.62, 0.70))
HAIR = ((0.09, 0.07, 0.07), (0.26, 0.16, 0.10), (0.52, 0.32, 0.16), (0.87, 0.70, 0.38))


def _between(table: tuple[tuple[float, ...], ...], t: torch.Tensor) -> torch.Tensor:
    """The colour at t (N,) in [0, 1] along a table of colours: (N, 3)."""
    colours = torch.tensor(table, device=t.device)
    at = t.clamp(0, 1) * (len(table) - 1)
    k = at.long().clamp_max(len(table) - 2)
    return torch.lerp(colours[k], colours[k + 1], (at - k)[:, None])


class _Canvas:
    """N images (N, 3, S, S) in [0, 1] that shapes are painted on; x (1, 1, S) and y (1, S, 1) are where pixels are."""

    def __init__(self, n: int, size: int, device: torch.device) -> None:
        self.size = size
        steps = (torch.arange(size, device=device) + 0.5) / size - 0.5
        self.x, self.y = steps[None, None], -steps[None, :, None]
        self.rgb = torch.zeros(n, 3, size, size, device=device)

    def cover(self, distance: torch.Tensor) -> torch.Tensor:
        """The share of each pixel that a shape covers, for its signed distance, positive inside."""
        return (distance * self.size + 0.5).clamp_(0, 1)

    def line(self, distance: torch.Tensor, width: torch.Tensor | float) -> torch.Tensor:
        """The share of each pixel that a line of this width covers; lines under a pixel are faint, not broken."""
        half = torch.as_tensor(width, device=distance.device) * (self.size / 2)
        return torch.minimum((half + 0.5 - distance.abs() * self.size).clamp_min_(0), (2 * half).clamp_max(1))

    def ellipse(self, x, y, a, b) -> torch.Tensor:
        """About the signed distance to an upright ellipse with the half axes a and b."""
        u, v = (self.x - x) / a, (self.y - y) / b
        r = (u * u + v * v).sqrt_()
        slope = ((u / a) ** 2 + (v / b) ** 2).sqrt_()
        return (1 - r) * r / slope.clamp_min_(1e-6)

    def paint(self, cover: torch.Tensor, colour: torch.Tensor | tuple[float, ...]) -> None:
        """Lay a colour, (N, 3) or three numbers, over the images where `cover` (N, S, S) says."""
        colour = torch.as_tensor(colour, device=cover.device)
        self.rgb.lerp_(colour.view(-1, 3, 1, 1).expand_as(self.rgb), cover[:, None].expand_as(self.rgb))

    def darken(self, amount: torch.Tensor) -> None:
        """Take away the share `amount` (N, S, S) of the light."""
        self.rgb.mul_((1 - amount)[:, None])


def _eyeball(canvas: _Canvas, x, y, gaze: torch.Tensor, reach: torch.Tensor | float, radius) -> torch.Tensor:
    """The distance to an iris's edge on an eyeball in (x, y): a disc that turns away from us as the gaze (N, 2) does.

    Its middle is at (x, y) + reach · (sin h cos v, sin v), and it is cos h cos v times as wide along that direction.
    """
    h, v = torch.deg2rad(gaze)[:, :, None, None].unbind(1)
    dx, dy = h.sin() * v.cos(), v.sin()
    narrow = h.cos() * v.cos()
    u, w = canvas.x - x - reach * dx, canvas.y - y - reach * dy
    length = (dx * dx + dy * dy).sqrt()
    dx, dy = torch.where(length > 1e-6, dx / length, 1.0), torch.where(length > 1e-6, dy / length, 0.0)
    along, across = u * dx + w * dy, w * dx - u * dy
    return radius - ((along / narrow) ** 2 + across**2).sqrt_()


def _chunks(n: int, size: int, device: torch.device) -> list[slice]:
    """Which images to draw at a time: on the CPU few enough for its caches and its memory."""
    step = max(1, (2**18 if device.type == "cpu" else 2**24) // size**2)
    return [slice(start, start + step) for start in range(0, n, step)]


def _numbers(values: Mapping, ranges: Mapping[str, tuple[float, float]], what: str, n: int | None, device) -> dict:
    """Every name in `ranges` with N values (float32): those given, else the middle of the range."""
    unknown = set(values) - set(ranges)
    if unknown:
        raise CourseError(f"{what} have no {sorted(unknown)[0]!r}; they have {', '.join(ranges)}.")
    given = {name: torch.as_tensor(value, dtype=torch.float32) for name, value in values.items()}
    lengths = {len(value) for value in given.values() if value.dim()} | ({n} if n is not None else set())
    if len(lengths) > 1 or any(value.dim() > 1 for value in given.values()):
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in given.items())
        raise CourseError(f"{what} need one number or N numbers for each name, with one N for all; these are {shapes}.")
    n = lengths.pop() if lengths else 1
    if device is None:
        device = next((value.device for value in given.values() if value.dim()), torch.device("cpu"))
    middle = {name: torch.tensor((low + high) / 2) for name, (low, high) in ranges.items()}
    return {name: given.get(name, middle[name]).to(device).expand(n) for name in ranges}


# --- eyes -------------------------------------------------------------------------------------------------------------

# What makes one eye differ from another: (least, greatest) of what `draw_eyes` draws, uniformly.
EYE_PARAMETERS: dict[str, tuple[float, float]] = {
    "skin": (0.0, 1.0),  # light to dark
    "iris": (0.0, 1.0),  # brown, amber, green, blue, grey
    "size": (0.88, 1.10),  # of everything but the brow; multiplies EYE_REACH and the lengths below
    "width": (0.35, 0.41),  # from the middle to a corner
    "upper": (0.13, 0.185),  # height of the upper lid above the middle
    "lower": (0.08, 0.12),  # depth of the lower lid below it
    "tilt": (-6.0, 8.0),  # degrees by which the outer (right) corner is higher
    "iris_radius": (0.115, 0.135),
    "pupil": (0.40, 0.55),  # the pupil's radius, as a share of the iris's
    "lashes": (0.012, 0.030),  # thickness of the upper lashes
    "crease": (0.045, 0.085),  # of the fold's height above the upper lid
    "brow": (0.035, 0.07),  # thickness
    "brow_height": (0.29, 0.35),
    "hair": (0.0, 0.8),  # colour of brow and lashes: black, brown, auburn, blond
    "light": (-0.05, 0.05),  # where the highlight lies, left to right
}
EYE_REACH = 0.30  # how far the middle of the iris is from the eyeball's centre of rotation, for an eye of size 1
GAZE_RANGE = (
    (-30.0, 30.0),
    (-20.0, 20.0),
)  # degrees; horizontal (to the right of the image is positive), vertical (up)


def draw_eyes(n: int, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """n identities, each number (n,) uniform in its range of `EYE_PARAMETERS`; the same for the same seed."""
    u = torch.rand(n, len(EYE_PARAMETERS), generator=torch.Generator().manual_seed(seed))
    return {name: low + (high - low) * u[:, k] for k, (name, (low, high)) in enumerate(EYE_PARAMETERS.items())}


def _gaze(gaze: torch.Tensor, n: int, device: torch.device) -> torch.Tensor:
    gaze = torch.as_tensor(gaze, dtype=torch.float32).to(device)
    if gaze.shape not in ((n, 2), (2,)):
        raise CourseError(f"The gaze of {n} eyes has the shape {tuple(gaze.shape)}; give (2,) or ({n}, 2), in degrees.")
    return gaze.expand(n, 2)


def _lids(p: dict[str, torch.Tensor], gaze: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Heights of the upper and the lower lid at x (N, ...), the tilt left out. They follow the gaze up and down."""
    shape = (-1,) + (1,) * (x.dim() - 1)
    size, sine = p["size"].view(shape), torch.deg2rad(gaze[:, 1]).sin().view(shape)
    t = (x / (size * p["width"].view(shape))).clamp(-1, 1)
    upper = size * (p["upper"].view(shape) + 0.75 * EYE_REACH * sine) * (1 - t.abs() ** 2.3)
    lower = -size * (p["lower"].view(shape) - 0.55 * EYE_REACH * sine) * (1 - t * t)
    return upper, lower


def eye_landmarks(eyes: Mapping, gaze: torch.Tensor, *, size: int = 64) -> torch.Tensor:
    """Seven exact points of each eye, (N, 7, 2): columns and rows in pixels from the image's top left corner.

    In this order: the middle of the pupil, whether or not a lid hides it; the left and the right corner; the upper and
    the lower lid at the middle; the upper lid halfway to the left and to the right corner.
    """
    p = _numbers(eyes, EYE_PARAMETERS, "Eyes", len(gaze) if getattr(gaze, "ndim", 1) == 2 else None, None)
    gaze = _gaze(gaze, len(p["size"]), p["size"].device)
    h, v = torch.deg2rad(gaze).unbind(1)
    corner = p["size"] * p["width"]
    x = torch.stack([-corner, corner, 0 * corner, 0 * corner, -corner / 2, corner / 2], dim=1)
    upper, lower = _lids(p, gaze, x)
    y = torch.stack([0 * corner, 0 * corner, upper[:, 2], lower[:, 3], upper[:, 4], upper[:, 5]], dim=1)
    y = y + torch.deg2rad(p["tilt"]).tan()[:, None] * x
    pupil = p["size"][:, None] * EYE_REACH * torch.stack([h.sin() * v.cos(), v.sin()], dim=1)
    points = torch.cat([pupil[:, None], torch.stack([x, y], dim=2)], dim=1)
    return (points * points.new_tensor([1.0, -1.0]) + 0.5) * size


def render_eyes(
    eyes: Mapping, gaze: torch.Tensor, *, size: int = 32, device: torch.device | str | None = None
) -> torch.Tensor:
    """Draw N eyes, each filling the image, (N, 3, size, size), float32 in [-1, 1].

    The middle of the pupil is at size · EYE_REACH · (sin h cos v, sin v) from the image's middle, as a share of its
    width, where `size` is the eye's own number and (h, v) its gaze. The lids follow the vertical gaze: the upper one by
    0.75, the lower one by 0.55 of the way of the pupil.

    Args:
        eyes: the identities: one number or N for each name of `EYE_PARAMETERS`; what is left out is in the middle of
            its range. `draw_eyes` draws some.
        gaze: (N, 2) or (2,), degrees: to the right, and up. Drawn well within `GAZE_RANGE`.
        size: height and width of the images in pixels.
        device: where to draw; the device of the identities unless given.

    Raises:
        CourseError: an unknown name, or shapes that do not fit each other.
    """
    p = _numbers(eyes, EYE_PARAMETERS, "Eyes", len(gaze) if getattr(gaze, "ndim", 1) == 2 else None, device)
    n, device = len(p["size"]), p["size"].device
    gaze = _gaze(gaze, n, device)
    images = torch.empty(n, 3, size, size, device=device)
    for some in _chunks(n, size, device):
        images[some] = _draw_eyes({name: value[some] for name, value in p.items()}, gaze[some], size)
    return images


def _draw_eyes(flat: dict[str, torch.Tensor], gaze: torch.Tensor, size: int) -> torch.Tensor:
    n, device = len(gaze), gaze.device
    canvas = _Canvas(n, size, device)
    p = {name: value[:, None, None] for name, value in flat.items()}
    x, s = canvas.x, p["size"]
    y = canvas.y - torch.deg2rad(p["tilt"]).tan() * x  # the tilt undone
    skin, hair = _between(SKIN, flat["skin"]), _between(HAIR, flat["hair"])
    upper, lower = _lids(flat, gaze, x.expand(n, 1, -1))
    corner = s * p["width"]
    t = (x / corner).clamp(-1, 1)

    # skin: lit from above, darker in the hollow around the eye and towards the nose
    canvas.rgb += skin[:, :, None, None]
    hollow = torch.exp(-((x / 0.42) ** 2) - ((canvas.y - 0.08) / 0.22) ** 2)
    canvas.darken(0.16 * hollow + 0.10 * torch.sigmoid((-x - 0.40) * 12) + 0.10 * (0.1 - canvas.y).clamp(0, 1))
    bag = (y - lower + 0.05 * s + 0.01) / 0.03
    canvas.darken(0.09 * torch.exp(-bag * bag) * (1 - t * t))
    # the fold above the lid
    fold = upper + s * p["crease"] * (1 - 0.5 * t * t)
    canvas.darken(0.38 * canvas.line(y - fold - 0.005, 0.022) * ((1.06 * corner - x.abs()) * 9).clamp(0, 1))

    # the opening, and in it: white, iris, pupil, shadow of the lid, highlight
    slope_u = 2.3 * upper.amax(-1, keepdim=True) / corner * t.abs() ** 1.3
    slope_l = 2.0 * lower.amin(-1, keepdim=True) / corner * t
    from_upper = (upper - y) / (1 + slope_u * slope_u).sqrt()
    from_lower = (y - lower) / (1 + slope_l * slope_l).sqrt()
    opening = canvas.cover(torch.minimum(from_upper, from_lower)) * canvas.cover(corner - x.abs())
    canvas.paint(opening, (0.95, 0.94, 0.93))
    canvas.darken(opening * 0.30 * (t.abs() - 0.35).clamp_min(0) ** 1.0)
    duct = torch.exp(-(((x + 0.93 * corner) / 0.035) ** 2)) * opening
    canvas.paint(0.75 * duct, (0.83, 0.52, 0.48))
    radius = s * p["iris_radius"]
    iris = _eyeball(canvas, 0.0, 0.0, gaze, s * EYE_REACH, radius)
    colour = _between(IRIS, flat["iris"])
    within = canvas.cover(iris) * opening
    canvas.paint(within, 0.42 * colour)  # the dark rim
    canvas.paint(canvas.cover(iris - 0.018 * s) * opening, colour)
    glow = ((iris / radius) * 2.2 - 0.35).clamp(0, 1) * within  # lighter towards the pupil
    canvas.paint(0.35 * glow, 0.6 * colour + 0.4 * torch.tensor((0.95, 0.80, 0.55), device=device))
    canvas.paint(canvas.cover(iris - radius * (1 - p["pupil"])) * opening, (0.03, 0.03, 0.04))
    canvas.darken(opening * 0.42 * torch.exp(-from_upper.clamp_min(0) / (0.035 * s)))
    h, v = torch.deg2rad(gaze)[:, :, None, None].unbind(1)
    spot_x = s * (0.6 * EYE_REACH * h.sin() * v.cos() + p["light"] - 0.01)
    spot_y = s * (0.6 * EYE_REACH * v.sin() + 0.045)
    canvas.paint(0.95 * canvas.cover(canvas.ellipse(spot_x, spot_y, 0.024 * s, 0.024 * s)) * opening, (1.0, 1.0, 1.0))

    # edges of the lids, lashes, brow
    near = canvas.cover(1.02 * corner - x.abs())
    canvas.paint(0.55 * canvas.line(y - lower + 0.008, 0.016) * near, 0.62 * skin)
    dark = 0.35 * hair
    thick = p["lashes"] * s * (1.1 + 0.7 * t) + 0.006
    canvas.paint(0.92 * canvas.line(y - upper - thick / 3, thick) * near, dark)
    bend = p["brow_height"] - 0.20 * (x - 0.06) ** 2 / 0.4 - 0.02
    ends = ((0.40 - (x - 0.02).abs()) * 10).clamp(0, 1)
    taper = p["brow"] * (0.95 - 0.9 * (x + 0.1).clamp_min(0)) * ends.clamp_min(0.15)
    canvas.paint(0.9 * ends * canvas.line(canvas.y - bend - 0.04, taper), 0.75 * hair)
    return canvas.rgb.clamp_(0, 1) * 2 - 1


class EyePairs(NamedTuple):
    """The same eyes at two gazes; what gaze redirection learns from."""

    source: torch.Tensor
    target: torch.Tensor
    gaze: torch.Tensor  # of the source
    turn: torch.Tensor  # gaze of the target − gaze of the source
    landmarks: torch.Tensor  # of the source
    identity: torch.Tensor
    eyes: dict[str, torch.Tensor]


def eye_pairs(
    n: int,
    *,
    identities: int | None = None,
    seed: int = 0,
    size: int = 32,
    horizontal: tuple[float, float] = GAZE_RANGE[0],
    vertical: tuple[float, float] = GAZE_RANGE[1],
    device: torch.device | str | None = None,
) -> EyePairs:
    """n pairs of pictures, each of one eye at two gazes.

    Args:
        identities: how many eyes there are; n unless given. Two seeds share none: hold out identities by another seed.
        seed: the same pairs for the same seed, whatever the device.
        size: height and width in pixels.
        horizontal, vertical: degrees between which gazes are drawn uniformly; (0, 0) leaves one out.
        device: where to draw; the CPU unless given.

    Returns:
        source and target (n, 3, size, size) in [-1, 1]; gaze (n, 2), turn (n, 2) in degrees, to the right and up;
        landmarks (n, 7, 2) of the source, as `eye_landmarks` has them; identity (n,), int64; eyes, each number (n,).
    """
    known = n if identities is None else identities
    if known < 1 and n:
        raise CourseError(f"There are {known} identities to draw {n} pairs of; use at least one.")
    every = draw_eyes(known, seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    identity = torch.randperm(n, generator=generator) if known == n else torch.randint(known, (n,), generator=generator)
    low, high = torch.tensor([horizontal, vertical], dtype=torch.float32).unbind(1)
    before, after = low + (high - low) * torch.rand(2, n, 2, generator=generator)
    device = torch.device(device or "cpu")
    eyes = {name: value[identity].to(device) for name, value in every.items()}
    before, after = before.to(device), after.to(device)
    return EyePairs(
        render_eyes(eyes, before, size=size),
        render_eyes(eyes, after, size=size),
        before,
        after - before,
        eye_landmarks(eyes, before, size=size),
        identity.to(device),
        eyes,
    )


# --- faces ------------------------------------------------------------------------------------------------------------

# Every attribute of a face: (least, greatest). The first eight are those of the causal graph; the rest is identity.
FACE_ATTRIBUTES: dict[str, tuple[float, float]] = {
    "age": (20.0, 80.0),  # years: wrinkles, folds, a higher hairline
    "skin": (0.0, 1.0),  # light to dark
    "glasses": (0.0, 1.0),  # 0 none, 1 worn; between, faint
    "hair_colour": (0.0, 1.0),  # black, brown, auburn, blond
    "grey": (0.0, 1.0),  # how much of the hair is grey
    "hair_length": (0.0, 1.0),  # cropped to shoulder-long
    "smile": (0.0, 1.0),  # from a straight mouth to a broad smile with teeth
    "gaze_x": (-25.0, 25.0),  # degrees, to the right of the image
    "gaze_y": (-15.0, 15.0),  # degrees, up
    "face_width": (0.0, 1.0),
    "eye_size": (0.0, 1.0),
    "eye_colour": (0.0, 1.0),  # brown, amber, green, blue, grey
    "nose": (0.0, 1.0),  # length
    "mouth": (0.0, 1.0),  # width
    "brow": (0.0, 1.0),  # thickness
    "shirt": (0.0, 1.0),  # colour
}
FACE_EYES = (0.115, 0.02)  # where the eyes are: left and right of the middle, and above it
FACE_REACH = 0.055  # EYE_REACH for the eyes of a face
_SHIRT = ((0.16, 0.28, 0.48), (0.20, 0.50, 0.45), (0.80, 0.70, 0.40), (0.70, 0.25, 0.25))


def render_faces(
    attributes: Mapping,
    *,
    size: int = 32,
    background: tuple[float, float, float] = (0.55, 0.65, 0.72),
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Draw N faces from the front, (N, 3, size, size), float32 in [-1, 1].

    The middles of the pupils are at (±0.115, 0.02) + FACE_REACH · (sin h cos v, sin v) for the gaze (h, v), as shares
    of the image's width from its middle.

    Args:
        attributes: one number or N for each name of `FACE_ATTRIBUTES`; what is left out is in the middle of its range
            (no glasses, nothing grey). `draw_attributes` draws some.
        size: height and width of the images in pixels.
        background: RGB in [-1, 1].
        device: where to draw; the device of the attributes unless given.

    Raises:
        CourseError: an unknown name, or shapes that do not fit each other.
    """
    p = _numbers({"glasses": 0.0, "grey": 0.0, **attributes}, FACE_ATTRIBUTES, "Faces", None, device)
    n, device = len(p["age"]), p["age"].device
    images = torch.empty(n, 3, size, size, device=device)
    for some in _chunks(n, size, device):
        images[some] = _draw_faces({name: value[some] for name, value in p.items()}, size, background)
    return images


def _draw_faces(flat: dict[str, torch.Tensor], size: int, background: tuple[float, float, float]) -> torch.Tensor:
    n, device = len(flat["age"]), flat["age"].device
    canvas = _Canvas(n, size, device)
    p = {name: value[:, None, None] for name, value in flat.items()}
    x, y = canvas.x, canvas.y
    side = x.abs()  # faces are symmetric but for gaze and light
    skin = _between(SKIN, flat["skin"])
    hair = torch.lerp(
        _between(HAIR, flat["hair_colour"]), torch.tensor((0.80, 0.80, 0.80), device=device), flat["grey"][:, None]
    )
    old = ((p["age"] - 35) / 45).clamp(0, 1)
    a = 0.245 + 0.04 * p["face_width"]  # half width of the face
    top, chin = 0.30, -0.36

    canvas.rgb += (torch.tensor(background, device=device)[None, :, None, None] + 1) / 2
    # hair behind the head, down to the shoulders when it is long
    length = p["hair_length"]
    ends = 0.12 - 0.56 * length
    crown = canvas.ellipse(0.0, 0.06, a + 0.012 + 0.02 * length, 0.30 + 0.03 * length)
    edge = a + 0.012 + 0.02 * length - 0.05 * torch.exp((ends - y).clamp_max(0) / 0.05) - 0.25 * (ends - y).clamp_min(0)
    falls = torch.minimum(torch.minimum(edge - side, y - ends), 0.08 - y)
    canvas.paint(canvas.cover(torch.maximum((crown - 0.02).minimum(y - ends.clamp_min(0.05)), falls)), 0.82 * hair)
    # shoulders, neck, ears
    shirt = canvas.ellipse(0.0, -0.66, 0.46, 0.26)
    canvas.paint(canvas.cover(shirt), _between(_SHIRT, flat["shirt"]))
    neck = torch.minimum(0.105 - side, -0.20 - y).minimum(canvas.ellipse(0.0, -0.36, 0.14, 0.13) + 0.0 * y)
    canvas.paint(canvas.cover(neck), 0.80 * skin)
    ears = canvas.ellipse(-(a + 0.005), -0.01, 0.035, 0.065).maximum(canvas.ellipse(a + 0.005, -0.01, 0.035, 0.065))
    canvas.paint(canvas.cover(ears), 0.86 * skin)
    # the face: half an ellipse above, a longer one with a jaw below
    jaw = torch.where(y > 0, y / (top + 0.02), y / chin).abs()
    u = side / a
    power = torch.where(y > 0, 2.0, 2.35)
    r = (u**power + jaw**power) ** (1 / power)
    head = (1 - r) * torch.where(y > 0, 0.27, 0.29)
    face = canvas.cover(head)
    canvas.paint(face, skin)
    light = 0.16 * (0.9 * r - 0.45).clamp_min(0) + 0.10 * (x / a).clamp(-1, 1).clamp_min(0)
    canvas.darken(face * light)
    blush = torch.exp(-(((side - 0.16) / 0.06) ** 2) - ((y + 0.10) / 0.05) ** 2)
    canvas.paint(face * blush * (0.16 + 0.14 * p["smile"]), (0.85, 0.38, 0.34))

    # wrinkles: forehead, beside the mouth, under the eyes, at the corners of the eyes
    width = 0.013
    forehead = torch.zeros_like(face)
    for height in (0.135, 0.165, 0.195):
        forehead += canvas.line(y - height + 0.5 * (x * x), width)
    canvas.darken(0.26 * old * forehead * ((0.15 - side) * 12).clamp(0, 1))
    fold = 0.085 + 0.02 * p["mouth"] + 0.35 * (-0.085 - y)
    below = ((-0.085 - y) * 30).clamp(0, 1) * ((y + 0.235) * 30).clamp(0, 1)
    canvas.darken((0.30 * old + 0.14 * p["smile"]) * canvas.line(side - fold, 0.018) * below)
    eye_x, eye_y = FACE_EYES
    bag = y - (eye_y - 0.065) - 3.0 * (side - eye_x) ** 2
    canvas.darken(0.28 * old * canvas.line(bag, 0.016) * ((0.06 - (side - eye_x).abs()) * 30).clamp(0, 1))
    feet = ((side - eye_x - 0.075) * 40).clamp(0, 1) * ((eye_x + 0.115 - side) * 40).clamp(0, 1)
    rays = canvas.line(y - eye_y - 0.5 * (side - eye_x - 0.06), 0.010) + canvas.line(
        y - eye_y + 0.5 * (side - eye_x - 0.06), 0.010
    )
    canvas.darken(0.24 * old * rays * feet)

    # hair over the forehead: a cap above a bent hairline; the temples recede with age
    line = 0.185 + 0.035 * old - 0.9 * (side - 0.02).clamp_min(0) ** 2 * (1 - 0.3 * old) + 0.05 * (x + 0.05)
    cap = torch.minimum(crown, y - line)
    burns = torch.minimum(torch.minimum(side - a + 0.022, a + 0.02 + 0.03 * length - side), y - ends.clamp_max(0.03))
    burns = torch.minimum(burns, 0.16 - y)
    locks = canvas.cover(torch.maximum(cap, burns))
    canvas.paint(locks, hair)
    shine = torch.exp(-(((y - 0.275 + 0.6 * (x + 0.06) ** 2) / 0.022) ** 2)) * torch.exp(-(((x + 0.06) / 0.13) ** 2))
    canvas.paint(0.28 * shine * locks, (1.0, 0.97, 0.9))

    # eyes; a smile narrows them a little
    gaze = torch.stack([flat["gaze_x"], flat["gaze_y"]], dim=1)
    wide = 0.062 + 0.012 * p["eye_size"]
    high = (0.036 + 0.010 * p["eye_size"]) * (1 - 0.18 * p["smile"]) * (1 - 0.12 * old)
    colour = _between(IRIS, flat["eye_colour"])
    for at in (-eye_x, eye_x):
        lens = canvas.ellipse(at, eye_y, wide, high)
        opening = canvas.cover(lens)
        canvas.darken(0.20 * torch.exp(-(((x - at) / 0.085) ** 2) - ((y - eye_y - 0.01) / 0.06) ** 2))
        canvas.paint(opening, (0.96, 0.96, 0.95))
        iris = _eyeball(canvas, at, eye_y, gaze, FACE_REACH, 0.034)
        canvas.paint(canvas.cover(iris) * opening, 0.75 * colour)
        canvas.paint(canvas.cover(iris - 0.016) * opening, (0.03, 0.03, 0.04))
        spot = canvas.ellipse(
            at + 0.6 * FACE_REACH * torch.deg2rad(p["gaze_x"]).sin() - 0.010, eye_y + 0.012, 0.008, 0.008
        )
        canvas.paint(0.8 * canvas.cover(spot) * opening, (1.0, 1.0, 1.0))
        lash = canvas.line(lens, 0.018) * ((y - eye_y) * 40 + 0.3).clamp(0, 1)
        canvas.paint(0.85 * lash, (0.13, 0.09, 0.08))
        brow = y - eye_y - 0.075 + 4.0 * (x - 1.05 * at) ** 2 - 0.01 * p["smile"]
        inside = ((0.078 - (x - at).abs()) * 40).clamp(0, 1)
        canvas.paint(0.85 * inside * canvas.line(brow, 0.016 + 0.016 * p["brow"]), 0.72 * hair)

    # nose: its shadow on one side, the tip, the nostrils
    tip = -0.075 - 0.035 * p["nose"]
    bridge = ((eye_y - 0.01 - y) * 30).clamp(0, 1) * ((y - tip) * 30).clamp(0, 1)
    canvas.darken(0.16 * bridge * torch.exp(-(((x - 0.022 - 0.10 * (eye_y - y)) / 0.016) ** 2)))
    canvas.darken(0.30 * torch.exp(-((x / 0.040) ** 2) - ((y - tip + 0.012) / 0.011) ** 2))
    canvas.paint(0.22 * canvas.cover(canvas.ellipse(-0.006, tip + 0.022, 0.016, 0.018)), (1.0, 0.96, 0.92))

    # mouth: its corners rise with the smile, and it opens
    half = 0.075 + 0.03 * p["mouth"] + 0.025 * p["smile"]
    t = (x / half).clamp(-1, 1)
    lips = y + 0.205 - p["smile"] * (0.055 * t * t - 0.025)
    ends = canvas.cover(half - side)
    opened = (p["smile"] - 0.45).clamp_min(0) * 1.8
    gap = 0.048 * opened * (1 - t * t)
    red = 0.62 * skin + 0.38 * torch.tensor((0.72, 0.20, 0.22), device=device)
    canvas.paint(0.85 * ends * canvas.line(lips + gap / 2, gap + 0.020 + 0.020 * (1 - t * t)), red)
    canvas.paint(ends * canvas.line(lips + gap / 2, gap), (0.97, 0.96, 0.94))
    canvas.paint((1 - opened).clamp(0, 1) * 0.75 * ends * canvas.line(lips, 0.012), 0.42 * red)

    # glasses: two frames, a bridge, the arms, a faint tint
    worn = p["glasses"].clamp(0, 1)
    dark = (0.08, 0.08, 0.10)
    frame = canvas.ellipse(eye_x, eye_y - 0.005, 0.095, 0.075).maximum(
        canvas.ellipse(-eye_x, eye_y - 0.005, 0.095, 0.075)
    )
    canvas.paint(0.14 * worn * canvas.cover(frame), (0.75, 0.88, 1.0))
    canvas.paint(worn * canvas.line(frame, 0.022), dark)
    canvas.paint(worn * canvas.line(y - eye_y - 0.012, 0.020) * canvas.cover(0.024 - side), dark)
    canvas.paint(
        worn * canvas.line(y - eye_y - 0.012, 0.020) * canvas.cover(side - 0.208) * canvas.cover(a - side), dark
    )
    return canvas.rgb.clamp_(0, 1) * 2 - 1


# --- attributes along a causal graph ----------------------------------------------------------------------------------


class Mechanism(NamedTuple):
    """How one attribute comes about: value = draw(u, *values of the parents), each (n,), with u uniform in [0, 1)."""

    parents: tuple[str, ...]
    draw: Callable[..., torch.Tensor]


def _uniform(name: str) -> Mechanism:
    """An attribute without causes, uniform in its range."""
    low, high = FACE_ATTRIBUTES[name]
    return Mechanism((), lambda u: low + (high - low) * u)


def glasses_given_age(age: torch.Tensor) -> torch.Tensor:
    """P(glasses = 1 | age) = 1 / (1 + exp((50 − age) / 6)), in the causal graph and in no other."""
    return torch.sigmoid((age - 50) / 6)


IDENTITY = ("face_width", "eye_size", "eye_colour", "nose", "mouth", "brow", "shirt")

# Nothing causes anything: every attribute uniform in its range, glasses on every second face.
INDEPENDENT_GRAPH: dict[str, Mechanism] = {name: _uniform(name) for name in FACE_ATTRIBUTES} | {
    "glasses": Mechanism((), lambda u: (u < 0.5).float())
}

# age → glasses → gaze_y, age → grey, age → hair_length, skin → hair_colour; all else has no causes.
FACE_GRAPH: dict[str, Mechanism] = INDEPENDENT_GRAPH | {
    "glasses": Mechanism(("age",), lambda u, age: (u < glasses_given_age(age)).float()),
    "grey": Mechanism(("age",), lambda u, age: ((age - 60 + 25 * u) / 25).clamp(0, 1)),
    "hair_length": Mechanism(("age",), lambda u, age: u * (1.15 - age / 100)),
    "hair_colour": Mechanism(("skin",), lambda u, skin: u * (1 - 0.8 * skin)),
    "gaze_y": Mechanism(("glasses",), lambda u, glasses: -15 + 30 * u - 10 * glasses * u),
}


def draw_attributes(
    n: int,
    seed: int = 0,
    *,
    graph: Mapping[str, Mechanism] = FACE_GRAPH,
    do: Mapping[str, float | torch.Tensor] | None = None,
) -> dict[str, torch.Tensor]:
    """Draw n values of every attribute, causes before effects; `do` cuts some off from their causes and sets them.

    `FACE_GRAPH`, with u uniform in [0, 1) and each u of its own:

        age = 20 + 60 u                         glasses = 1 with probability 1 / (1 + exp((50 − age) / 6)), else 0
        skin = u                                gaze_y = −15 + 30 u without glasses, −15 + 20 u with them
        hair_colour = u (1 − 0.8 skin)          grey = (age − 60 + 25 u) / 25, kept in [0, 1]
        smile, gaze_x, identity: uniform        hair_length = u (1.15 − age / 100)

    So seeing glasses tells that a face is likely old, P(age | glasses = 1) ≠ P(age); putting them on does not make it
    older, P(age | do(glasses = 1)) = P(age), but does turn the eyes down: P(gaze_y | do(glasses = 1)) =
    P(gaze_y | glasses = 1).

    Args:
        seed: fixes every u, whatever `do` says: with the same seed, faces with and without an intervention are the same
            faces (counterfactuals), and differ only in what was set and in what it causes.
        graph: for each attribute its `Mechanism`; parents may come in any order. `INDEPENDENT_GRAPH` has no causes.
        do: attributes to set, to one number or to (n,).

    Returns:
        for each attribute of the graph, its values (n,), float32, as `render_faces` takes them.

    Raises:
        CourseError: `do` sets what the graph does not have, the graph has a cycle or a parent that is not in it.
    """
    do = dict(do or {})
    unknown = set(do) - set(graph)
    if unknown:
        raise CourseError(f"The graph has no {sorted(unknown)[0]!r} to set; it has {', '.join(graph)}.")
    noise = torch.rand(n, len(graph), generator=torch.Generator().manual_seed(seed)).unbind(1)
    noise = dict(zip(graph, noise, strict=True))
    values: dict[str, torch.Tensor] = {}
    while len(values) < len(graph):
        ready = [k for k, m in graph.items() if k not in values and (k in do or all(p in values for p in m.parents))]
        if not ready:
            stuck = [k for k in graph if k not in values]
            raise CourseError(f"{', '.join(stuck)} wait for each other or for parents that the graph does not have.")
        for name in ready:
            if name in do:
                value = torch.as_tensor(do[name], dtype=torch.float32)
                if value.shape not in ((), (n,)):
                    raise CourseError(f"do sets {name} to the shape {tuple(value.shape)}; give one number or ({n},).")
                values[name] = value.expand(n).clone()
            else:
                values[name] = graph[name].draw(noise[name], *(values[p] for p in graph[name].parents))
    return {name: values[name] for name in graph}


def faces(
    n: int,
    *,
    seed: int = 0,
    size: int = 32,
    graph: Mapping[str, Mechanism] = FACE_GRAPH,
    do: Mapping[str, float | torch.Tensor] | None = None,
    device: torch.device | str | None = None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """n faces, (n, 3, size, size) in [-1, 1], and their attributes, each (n,), drawn by `draw_attributes`."""
    device = torch.device(device or "cpu")
    attributes = {name: v.to(device) for name, v in draw_attributes(n, seed, graph=graph, do=do).items()}
    return render_faces(attributes, size=size), attributes
