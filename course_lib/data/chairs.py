"""Parametric chairs: ten types and all between them, seen from any side, each image with its mask and exact labels.

A chair is a set of 19 boxes (parallelepipeds) whose sizes are functions of a few named shape numbers. A part that a
chair does not have is a box of no thickness, so any mixture of two chairs is a chair. Boxes are projected in parallel,
every box shows three faces, and the share of a pixel that a face covers is computed, not sampled: edges are smooth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from course_lib.errors import CourseError

# The named shape numbers: (least, greatest) value, in chair units (a chair is about 1.8 units tall).
CHAIR_PARAMETERS: dict[str, tuple[float, float]] = {
    "width": (0.7, 1.6),  # of the seat, left to right
    "depth": (0.7, 1.2),  # of the seat, front to back
    "seat_height": (0.3, 1.3),  # of the seat's top above the floor
    "seat_thickness": (0.05, 0.4),
    "leg_thickness": (0.0, 0.2),
    "leg_inset": (0.0, 1.0),  # where the legs start: 0 under the corners of the seat, 1 under its middle
    "leg_splay": (-0.1, 1.0),  # how much further out they end, as a share of the distance from middle to corner
    "leg_top": (0.2, 1.0),  # height at which they start, as a share of the seat's height
    "column": (0.0, 0.2),  # thickness of a middle column
    "stretcher": (0.0, 0.1),  # thickness of the bars between the legs
    "back_height": (0.0, 1.3),  # above the seat
    "back_tilt": (0.0, 25.0),  # degrees backwards
    "back_depth": (0.0, 0.3),  # thickness of slats and rails, front to back
    "post": (0.0, 0.2),  # thickness of the two posts of the back
    "rail": (0.0, 0.4),  # height of the top rail
    "slat_width": (0.0, 1.0),  # of each of three slats, as a share of the width of the back
    "slat_height": (0.0, 1.0),  # as a share of the height of the back
    "slat_spread_x": (0.0, 1.0),  # how far the slats stand apart sideways: 0 all in the middle
    "slat_spread_z": (0.0, 1.0),  # and in height
    "arm_height": (0.1, 0.6),  # of the top of the arm rests above the seat
    "arm_thickness": (0.0, 0.25),  # of the arm rests; 0: there are none
    "arm_panel": (0.0, 1.0),  # depth of what carries them: 0 a post, 1 a closed side
    "cushion": (0.0, 1.0),  # how much of the second colour seat, slats and arm rests have
}

_SHAPES = """
kitchen  0.90 0.90 0.88 0.09 0.10    0    0    1    0 0.05 0.92  6 0.07 0.10 0.20 0.09    1 0.50    0 0.40    0 0 0
ladder   0.92 0.85 0.88 0.08 0.09    0    0    1    0 0.05 1.08  4 0.06 0.10    0    1 0.13    0 0.62 0.40    0 0 0
stool    0.80 0.80 1.10 0.13 0.11 0.25 0.40    1    0 0.06    0  0    0    0    0 0.90    1    0    0 0.40    0 0 1
bar      0.78 0.76 1.25 0.10 0.09 0.05 0.15    1    0 0.05 0.45  8 0.07 0.09 0.22    0    1    0    0 0.30    0 0 1
office   0.95 0.92 0.88 0.15 0.12 0.90 0.75 0.34 0.13    0 0.98  8 0.11    0    0 0.92    1    0    0 0.42 0.09 0 1
armchair 1.30 1.10 0.72 0.34 0.10    0    0    1    0    0 0.85 10 0.22    0    0    1    1    0    0 0.42 0.22 1 1
carver   1.05 0.95 0.88 0.09 0.10    0    0    1    0 0.05    1  6 0.07 0.10 0.15 0.34    1    0    0 0.42 0.09 0 1
shell       1 0.95 0.84 0.08 0.08 0.30 0.45    1    0    0 0.75 14 0.07    0    0    1    1    0    0 0.35    0 0 1
bench    1.60 0.70 0.80 0.09 0.11    0    0    1    0 0.06 0.72  8 0.06 0.10    0    1 0.16    0 0.56 0.38 0.09 0 0
lounge   1.15 1.15 0.60 0.16 0.10 0.05 0.15    1    0    0 0.98 24 0.13    0    0    1    1    0    0 0.38 0.11 0 1
"""  # a row per type, the columns in the order of CHAIR_PARAMETERS
_ROWS = {row.split()[0]: [float(v) for v in row.split()[1:]] for row in _SHAPES.strip().splitlines()}
CHAIR_TYPES: tuple[str, ...] = tuple(_ROWS)

FRAME_COLOUR = (0.30, -0.16, -0.50)  # wood
CUSHION_COLOUR = (-0.50, 0.00, 0.36)  # cloth
_LIGHT = (-0.46, 0.76, 0.46)  # towards the light, in the camera's frame: right, up, towards the viewer
_VIEW = 2.75  # chair units that fit in the image, at scale 1
_MIDDLE = 0.92  # the height above the floor that is in the middle of the image


def chair_shapes(types: torch.Tensor | Sequence[str | int]) -> torch.Tensor:
    """The shape numbers of named types: (N, P) float32, columns in the order of `CHAIR_PARAMETERS`.

    Args:
        types: N names, or N numbers of types (int64, 0..9), in the order of `CHAIR_TYPES`.

    Raises:
        CourseError: there is no such type.
    """
    table = torch.tensor(list(_ROWS.values()), dtype=torch.float32)
    if not isinstance(types, torch.Tensor):
        unknown = [t for t in types if t not in CHAIR_TYPES and t not in range(len(CHAIR_TYPES))]
        if unknown:
            raise CourseError(f"There is no chair {unknown[0]!r}; the types are {', '.join(CHAIR_TYPES)}.")
        types = torch.tensor([CHAIR_TYPES.index(t) if isinstance(t, str) else t for t in types], dtype=torch.int64)
    if types.numel() and not 0 <= int(types.min()) <= int(types.max()) < len(CHAIR_TYPES):
        raise CourseError(
            f"Chairs are numbered 0 to {len(CHAIR_TYPES) - 1}; use one of these, or shape numbers (N, P)."
        )
    return table.to(types.device)[types]


def _boxes(shapes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Shape numbers (N, P) to boxes: centres (N, K, 3), half edges (N, K, 3 edges, 3), share of cushion colour (N, K).

    The chair's frame: x to its own left, y backwards, z up; the middle of the seat is above (0, 0, 0) on the floor.
    """
    p = dict(zip(CHAIR_PARAMETERS, shapes.unbind(1), strict=True))
    zero, one = torch.zeros_like(p["width"]), torch.ones_like(p["width"])
    w, d, top = p["width"] / 2, p["depth"] / 2, p["seat_height"]
    under = top - p["seat_thickness"]
    boxes: list[list[torch.Tensor]] = []  # x, y, z, half sizes in x, y, z, slope of x and of y against z, cushion

    def box(x, y, z, hx, hy, hz, slope_x=zero, slope_y=zero, cushion=zero) -> None:
        boxes.append([x, y, z, hx, hy, hz, slope_x, slope_y, cushion])

    # legs: from (start) at the height leg_top to (end) on the floor
    leg = p["leg_thickness"] / 2
    height = torch.minimum(under + 0.02, p["leg_top"] * top)
    start = 1 - p["leg_inset"]
    end = start + p["leg_splay"]
    for sx in (-1, 1):
        for sy in (-1, 1):
            x0, x1 = sx * (w - leg) * start, sx * (w - leg) * end
            y0, y1 = sy * (d - leg) * start, sy * (d - leg) * end
            slope_x, slope_y = (x0 - x1) / height, (y0 - y1) / height
            box((x0 + x1) / 2, (y0 + y1) / 2, height / 2, leg, leg, height / 2, slope_x, slope_y)
    # stretchers: two along the sides, one across
    bar, share = p["stretcher"] / 2, 0.35
    at = start * share + end * (1 - share)
    for sx in (-1, 1):
        box(sx * (w - leg) * at, zero, height * share, bar, (d - leg) * at, bar)
    box(zero, zero, height * share, (w - leg) * at, bar, bar)
    box(zero, zero, (under + 0.12) / 2, p["column"] / 2, p["column"] / 2, (under - 0.08) / 2)
    box(zero, zero, (top + under) / 2, w, d, (top - under) / 2, cushion=p["cushion"])

    # the back: stands on the rear edge of the seat and leans backwards
    tall = p["back_height"]
    slope = torch.tan(torch.deg2rad(p["back_tilt"]))
    post, thick = p["post"] / 2, p["back_depth"] / 2
    rear = d - torch.maximum(post, thick)

    def behind(x, z, hx, hy, hz, cushion=zero) -> None:
        """A part of the back, its middle z above the seat."""
        box(x, rear + slope * z, top + z, hx, hy, hz, slope_y=slope, cushion=cushion)

    for sx in (-1, 1):
        behind(sx * (w - post), tall / 2, post, post, tall / 2)
    rail = torch.minimum(p["rail"], tall) / 2
    behind(zero, tall - rail, w - 2 * post, thick * (20 * rail).clamp_max(1), rail)
    opening, inside = tall - 2 * rail, w - 2 * post
    spread_x, spread_z = p["slat_spread_x"], p["slat_spread_z"]
    half = p["slat_height"] * opening / 2
    for k in (-1, 0, 1):  # they hang from the rail; the outer two grow out of the middle one
        grown = one if k == 0 else (4 * (spread_x + spread_z)).clamp_max(1)
        thin = grown * (20 * p["slat_width"]).clamp_max(1)
        middle = opening - half - (1 - k) / 2 * spread_z * opening
        behind(k * spread_x * inside, middle, grown * p["slat_width"] * inside, thin * thick, half, p["cushion"])

    # arm rests, and what carries them
    arm, rise = p["arm_thickness"] / 2, p["arm_height"]
    front, back = 0.02 - d, rear - thick + slope * rise
    covered = p["cushion"] * p["arm_panel"]
    reach, middle = (back - front) / 2, (back + front) / 2
    for sx in (-1, 1):
        box(
            sx * (w - arm),
            middle,
            top + rise - 0.8 * arm,
            arm,
            reach * (20 * arm).clamp_max(1),
            0.8 * arm,
            cushion=covered,
        )
    depth = torch.lerp(0.8 * arm, reach, p["arm_panel"]) * (20 * arm).clamp_max(1)
    for sx in (-1, 1):
        box(
            sx * (w - arm),
            front + 0.03 + depth * 0.98,
            top + (rise - arm) / 2,
            0.9 * arm,
            depth * 0.98,
            (rise - arm) / 2,
            cushion=covered,
        )

    rows = torch.stack([torch.stack([v * one for v in row], dim=1) for row in boxes], dim=1)  # (N, K, 9)
    centres, half = rows[..., :3], rows[..., 3:6]
    edges = torch.diag_embed(half)
    edges[..., 2, :2] = half[..., 2:3] * rows[..., 6:8]  # slanting boxes: the upright edge moves sideways with height
    return centres, edges, rows[..., 8]


def _per_image(value, n: int, columns: int, name: str, device: torch.device) -> torch.Tensor:
    """A value for all images or one for each, as float32 (N,), or (N, columns) where there are columns."""
    value = torch.as_tensor(value, dtype=torch.float32, device=device)
    shape = (n, columns) if columns else (n,)
    if value.shape not in (shape, shape[1:]):
        wanted = f"{shape[1:]} for all chairs or {shape}" if columns else f"one number or {shape}"
        raise CourseError(f"The {name} of {n} chairs has the shape {tuple(value.shape)}; give {wanted}.")
    return value.expand(shape)


def render_chairs(
    types: torch.Tensor | Sequence[str | int],
    azimuth: torch.Tensor | float = 30.0,
    elevation: torch.Tensor | float = 25.0,
    *,
    size: int = 32,
    shift: torch.Tensor | Sequence[float] = (0.0, 0.0),
    scale: torch.Tensor | float = 1.0,
    rotation: torch.Tensor | float = 0.0,
    colour: torch.Tensor | Sequence[float] = FRAME_COLOUR,
    cushion_colour: torch.Tensor | Sequence[float] = CUSHION_COLOUR,
    background: float = 1.0,
    device: torch.device | str | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw N chairs: parallel projection, flat shading by a light that stands with the viewer, smooth edges.

    image = mask · chair + (1 − mask) · background, where mask is the share of the pixel that the chair covers.
    Everything but `types` is one value for all chairs or one for each.

    Args:
        types: N names; or numbers (N,), int64, in the order of `CHAIR_TYPES`; or shape numbers (N, P), float, in the
            order of `CHAIR_PARAMETERS`: a mean of two types is `chair_shapes(["stool", "office"]).mean(0, True)`.
        azimuth: degrees, any; 0 is seen from the front, 90 from the chair's own left, 180 from behind.
        elevation: degrees in -90..90; 0 is seen from the side, 90 from above.
        size: height and width of the images in pixels, a multiple of 8.
        shift: (right, up), each as a share of the image's width; (N, 2) or two numbers.
        scale: 1 fits every type into the image at elevations of 0 to 40.
        rotation: degrees in the image's plane, counter-clockwise, about the image's middle.
        colour, cushion_colour: RGB in [-1, 1] of the frame and of the upholstery; (N, 3) or three numbers.
        background: grey value in [-1, 1].
        device: where to draw; the device of `types` if that is a tensor, else the CPU.

    Returns:
        images (N, 3, size, size), float32 in [-1, 1]; masks (N, 1, size, size), float32 in [0, 1].

    Raises:
        CourseError: an unknown type, a size that is no multiple of 8, or a value whose shape does not fit N.
    """
    if size < 8 or size % 8:
        raise CourseError(f"Chairs are drawn at sizes that are multiples of 8, not at {size}.")
    shaped = isinstance(types, torch.Tensor) and types.dim() == 2
    shapes = types.float() if shaped else chair_shapes(types)
    if shapes.shape[1] != len(CHAIR_PARAMETERS):
        raise CourseError(
            f"A chair has {len(CHAIR_PARAMETERS)} shape numbers (CHAIR_PARAMETERS), not {shapes.shape[1]}."
        )
    device = torch.device(device) if device is not None else shapes.device
    shapes, n = shapes.to(device), len(shapes)
    azimuth = torch.deg2rad(torch.remainder(_per_image(azimuth, n, 0, "azimuth", device), 360))
    elevation = torch.deg2rad(_per_image(elevation, n, 0, "elevation", device))
    rotation = torch.deg2rad(torch.remainder(_per_image(rotation, n, 0, "rotation", device), 360))
    shift = _per_image(shift, n, 2, "shift", device) * size
    scale = _per_image(scale, n, 0, "scale", device) * (size / _VIEW)
    colour = _per_image(colour, n, 3, "colour", device)
    cushion_colour = _per_image(cushion_colour, n, 3, "colour of the cushions", device)

    each = (shapes, azimuth, elevation, rotation, shift, scale, colour, cushion_colour)
    images = torch.empty(n, 3, size, size, device=device)
    masks = torch.empty(n, 1, size, size, device=device)
    step = max(1, (2**18 if device.type == "cpu" else 2**22) // size**2)  # images at a time
    for start in range(0, n, step):
        some = slice(start, start + step)
        images[some], masks[some] = _draw(*(value[some] for value in each), size, background)
    return images, masks


def _draw(
    shapes: torch.Tensor,
    azimuth: torch.Tensor,
    elevation: torch.Tensor,
    rotation: torch.Tensor,
    shift: torch.Tensor,
    scale: torch.Tensor,
    colour: torch.Tensor,
    cushion_colour: torch.Tensor,
    size: int,
    background: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`render_chairs` for as many images as are drawn at a time; angles in radians, shift and scale in pixels."""
    centres, edges, cushion = _boxes(shapes)
    (n, k), device = cushion.shape, shapes.device
    centres = centres - centres.new_tensor([0.0, 0.0, _MIDDLE])

    # The camera's three directions in the chair's frame.
    ca, sa, ce, se = azimuth.cos(), azimuth.sin(), elevation.cos(), elevation.sin()
    right = torch.stack([ca, sa, torch.zeros_like(ca)], dim=1)
    up = torch.stack([-sa * se, ca * se, ce], dim=1)
    viewer = torch.stack([sa * ce, -ca * ce, se], dim=1)

    # Of each box, the three faces that are turned to the viewer. Face f has the middle centre ± edge f and is spanned
    # by the other two edges.
    normals = torch.linalg.cross(edges[:, :, [1, 2, 0]], edges[:, :, [2, 0, 1]])  # (N, K, 3 faces, 3)
    side = torch.where((normals * viewer[:, None, None]).sum(-1) >= 0, 1.0, -1.0)  # (N, K, 3)
    light = _LIGHT[0] * right + _LIGHT[1] * up + _LIGHT[2] * viewer
    cosine = side * (normals * light[:, None, None]).sum(-1) / (normals.norm(dim=-1) + 1e-12)
    shade = 0.55 + 0.52 * cosine.clamp_min(0) + 0.12 * cosine.clamp_max(0)
    paint = torch.lerp(colour[:, None], cushion_colour[:, None], cushion[..., None])[:, :, None]  # (N, K, 1, 3)
    paint = (paint + 1) * shade[..., None] - 1

    # In pixels, x to the right and y up from the image's middle.
    cr, sr = rotation.cos(), rotation.sin()
    turn = torch.stack([cr, -sr, sr, cr], dim=1).view(n, 2, 2) * scale[:, None, None]
    axes = (turn @ torch.stack([right, up], dim=1)).transpose(1, 2)  # (N, 3, 2)
    flat_edges = (edges.flatten(1, 2) @ axes).view(n, k, 3, 2)
    flat_centres = centres @ axes + shift[:, None]
    faces = flat_centres[:, :, None] + side[..., None] * flat_edges  # (N, K, 3, 2)

    # A face is where two strips cross: each lies along one of its edges, and is half as wide as the other edge reaches.
    first, second = flat_edges[:, :, [1, 2, 0]], flat_edges[:, :, [2, 0, 1]]
    along, other = torch.stack([first, second], dim=2), torch.stack([second, first], dim=2)  # (N, K, 2, 3, 2)
    normal = torch.stack([-along[..., 1], along[..., 0]], dim=-1) / (along.norm(dim=-1, keepdim=True) + 1e-9)
    half = (normal * other).sum(-1).abs()  # (N, K, 2, 3)
    offset = (normal * faces[:, :, None]).sum(-1)

    # The image is cut into tiles of 8 x 8 pixels, and a box is drawn only in those that it can touch.
    reach = flat_edges.abs().sum(2) + 4.5  # half the box, half a tile, half a pixel
    tile = torch.arange(4 - size / 2, size / 2, 8, device=device)  # middles of the tiles
    columns = (tile - flat_centres[..., :1]).abs() < reach[..., :1]  # (N, K, T)
    rows = (-tile - flat_centres[..., 1:]).abs() < reach[..., 1:]
    there = half.amax(dim=(2, 3)) > 0
    i, j, r, c = torch.nonzero(rows[..., None] & (columns & there[..., None])[:, :, None], as_tuple=True)

    # The share of each pixel that each strip covers, were the pixel a square along the strip; of the face, the product.
    pixel = torch.arange(-3.5, 4, device=device)
    grid = torch.stack([pixel.repeat(8), -pixel.repeat_interleave(8), torch.ones(64, device=device)])  # x, y and 1
    at = torch.stack([tile[c], -tile[r]], dim=1)[:, None]  # (M, 1, 2), the middle of the tile
    across, wide = normal[i, j].flatten(1, 2), half[i, j].flatten(1)  # (M, 6, 2), (M, 6)
    constant = (across * at).sum(-1) - offset[i, j].flatten(1)
    away = (torch.cat([across, constant[..., None]], dim=2).view(-1, 3) @ grid).abs_().view(-1, 2, 3, 64)
    wide = wide.view(-1, 2, 3, 1)
    inside = torch.sub(wide + 0.5, away).clamp_min_(0)
    inside = torch.minimum(inside, (2 * wide).clamp_max(1))
    cover = inside[:, 0] * inside[:, 1]  # (M, 3, 64)
    # Strips that are nearly parallel cross far beyond the corners of the face; there its upright bounding box ends it.
    middle, extent = faces[i, j] - at, along.abs().sum(2)[i, j] + 0.5  # (M, 3, 2)
    in_x = (extent[..., :1] - (pixel - middle[..., :1]).abs()).clamp_min_(0)  # (M, 3, 8)
    in_y = (extent[..., 1:] - (pixel + middle[..., 1:]).abs()).clamp_min_(0)
    cover = torch.minimum(cover, torch.minimum(in_x[..., None, :], in_y[..., None]).flatten(2))

    # What is left of it behind the boxes in front: exp(sum of log(1 − cover)) over these. Which of two boxes is in
    # front does not depend on the pixel: it is the one on the viewer's side of a plane between them.
    tiles = len(tile) ** 2
    log_clear = torch.log(1 - cover.sum(1).clamp_max_(1 - 1e-5))
    everywhere = torch.zeros(n * k * tiles, 64, device=device)
    where = (i * k + j) * tiles + r * len(tile) + c
    everywhere[where] = log_clear
    everywhere = everywhere.view(n, k, tiles * 64)
    apart = centres[:, :, None] - centres[:, None]  # (N, K, K, 3)
    sizes = edges.diagonal(dim1=2, dim2=3)
    axis = (apart.abs() - sizes[:, :, None] - sizes[:, None]).argmax(-1, keepdim=True)
    behind = ((apart * viewer[:, None, None]).gather(-1, axis).squeeze(-1) < 0).float()
    seen = torch.bmm(behind, everywhere).view(-1, 64)[where].exp_()
    cover.mul_(seen[:, None])

    # Colours, each weighted by what is seen of it.
    paint = torch.cat([paint, torch.ones_like(paint[..., :1])], dim=-1).transpose(2, 3)[i, j]  # (M, 4, 3)
    total = torch.zeros(n * tiles, 4, 64, device=device)
    total.index_add_(0, i * tiles + r * len(tile) + c, torch.bmm(paint, cover))
    mask = 1 - torch.exp(everywhere.sum(1)).view(n, tiles, 1, 64)
    total = total.view(n, tiles, 4, 64)
    image = torch.lerp(torch.full_like(mask, background), total[:, :, :3] / total[:, :, 3:].clamp_min(1e-6), mask)
    both = torch.cat([image, mask], dim=2).view(n, len(tile), len(tile), 4, 8, 8)
    both = both.permute(0, 3, 1, 4, 2, 5).reshape(n, 4, size, size)
    return both[:, :3].clamp(-1, 1), both[:, 3:]


class Chairs(NamedTuple):
    """Images, masks, and the labels from which `render_chairs(**labels)` draws them again."""

    images: torch.Tensor
    masks: torch.Tensor
    labels: dict[str, torch.Tensor]


def chairs(
    n: int,
    *,
    seed: int = 0,
    size: int = 32,
    types: Sequence[str | int] = CHAIR_TYPES,
    azimuths: torch.Tensor | Sequence[float] | None = None,
    elevations: tuple[float, float] = (15.0, 35.0),
    transforms: bool = False,
    colours: bool = False,
    device: torch.device | str | None = None,
) -> Chairs:
    """Draw n chairs at random, each with its labels.

    Args:
        seed: the same chairs for the same seed, whatever the device; and for one seed the same types, azimuths and
            elevations with transforms and colours as without.
        size: height and width in pixels, a multiple of 8.
        types: the types to draw from, equally often.
        azimuths: the degrees to draw from, equally often (so some can be held out); all of [0, 360) unless given.
        elevations: (least, greatest) degrees, drawn uniformly.
        transforms: also shift by up to 0.06 of the width, scale by 0.65 to 0.95, rotate by up to 15 degrees.
        colours: also draw the two colours; else they are wood and blue cloth.
        device: where to draw; the CPU unless given.

    Returns:
        images (n, 3, size, size) in [-1, 1]; masks (n, 1, size, size) in [0, 1]; labels, a dictionary of types (n,)
        int64, and azimuth, elevation, rotation (n,) in degrees, shift (n, 2), scale (n,), colour and cushion_colour
        (n, 3), as `render_chairs` takes them.

    Raises:
        CourseError: an unknown type, no type or no azimuth to draw from, or a size that is no multiple of 8.
    """
    if not len(types) or (azimuths is not None and not len(azimuths)):
        raise CourseError("There is nothing to draw from; give at least one type and one azimuth.")
    chair_shapes(types)  # are these types?
    numbers = torch.tensor([CHAIR_TYPES.index(t) if isinstance(t, str) else int(t) for t in types])
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=generator)

    drawn = numbers[torch.randint(len(numbers), (n,), generator=generator)]
    turn = uniform()
    if azimuths is None:
        azimuth = 360 * turn
    else:
        among = torch.as_tensor(azimuths, dtype=torch.float32).cpu()
        azimuth = among[(turn * len(among)).long().clamp_max(len(among) - 1)]
    elevation = uniform(low=elevations[0], high=elevations[1])
    shift, scale = uniform(2, low=-0.06, high=0.06), uniform(low=0.65, high=0.95)
    rotation = uniform(low=-15.0, high=15.0)
    colour, cushion_colour = uniform(3, low=-0.7, high=0.6), uniform(3, low=-0.7, high=0.6)
    if not transforms:
        shift, scale, rotation = torch.zeros(n, 2), torch.ones(n), torch.zeros(n)
    if not colours:
        colour = torch.tensor(FRAME_COLOUR).repeat(n, 1)
        cushion_colour = torch.tensor(CUSHION_COLOUR).repeat(n, 1)
    labels = {
        "types": drawn,
        "azimuth": azimuth,
        "elevation": elevation,
        "shift": shift,
        "scale": scale,
        "rotation": rotation,
        "colour": colour,
        "cushion_colour": cushion_colour,
    }
    device = torch.device(device or "cpu")
    labels = {name: value.to(device) for name, value in labels.items()}
    return Chairs(*render_chairs(**labels, size=size), labels)
