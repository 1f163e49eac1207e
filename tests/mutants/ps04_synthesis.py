# ruff: noqa: E501
"""Wrong and right solutions of problem set 04, nets that draw."""

from __future__ import annotations

from course_lib.authoring.mutants import Edit, Task

# ---------------------------------------------------------------------------------------- task 1

RADIANS = "radians = torch.deg2rad(fold * azimuth)"
CODE = "torch.stack([radians.sin(), radians.cos()], -1)"
DECODED = "torch.rad2deg(torch.atan2(code[..., 0], code[..., 1])) % 360 / fold"
MEAN = "mean = encode(azimuths).mean(0)"
MEANS = "return decode(mean), mean.norm()"

angle = Task(
    wrong={
        "encode: degrees as radians": Edit((RADIANS, "radians = fold * azimuth")),
        "encode: cosine first": Edit((CODE, "torch.stack([radians.cos(), radians.sin()], -1)")),
        "encode: only for vectors": Edit((CODE, "torch.stack([radians.sin(), radians.cos()], 1)")),
        "encode: fold ignored": Edit((RADIANS, "radians = torch.deg2rad(azimuth)")),
        "decode: swapped": Edit((DECODED, "torch.rad2deg(torch.atan2(code[..., 1], code[..., 0])) % 360 / fold")),
        "decode: atan": Edit((DECODED, "torch.rad2deg((code[..., 0] / code[..., 1]).atan()) % 360 / fold")),
        "decode: from -180": Edit((DECODED, "torch.rad2deg(torch.atan2(code[..., 0], code[..., 1])) / fold")),
        "decode: fold ignored": Edit((DECODED, "torch.rad2deg(torch.atan2(code[..., 0], code[..., 1])) % 360")),
        "decode: divided before brought to a turn": Edit(
            (DECODED, "torch.rad2deg(torch.atan2(code[..., 0], code[..., 1])) / fold % 360")
        ),
        "decode: only for length 1": Edit(
            (
                DECODED,
                "torch.rad2deg(torch.where(code[..., 0] < 0, -1, 1) * code[..., 1].clamp(-1, 1).acos()) % 360 / fold",
            )
        ),
        "mean: of the numbers": Edit((MEANS, "return azimuths.mean() % 360, mean.norm()")),
        "mean: below 0": Edit((MEANS, "return torch.rad2deg(torch.atan2(mean[0], mean[1])), mean.norm()")),
        "mean: sum's length": Edit((MEAN, "mean = encode(azimuths).sum(0)")),
    },
    right={
        "complex numbers": """
def encode(azimuth, fold=1):
    turning = torch.exp(1j * fold * azimuth * math.pi / 180)
    return torch.stack([turning.imag, turning.real], dim=-1)


def decode(code, fold=1):
    turning = torch.complex(code[..., 1], code[..., 0])
    degrees = turning.angle() * 180 / math.pi
    return torch.where(degrees < 0, degrees + 360, degrees) / fold


def mean_azimuth(azimuths):
    code = encode(azimuths).sum(0) / len(azimuths)
    return decode(code), (code * code).sum().sqrt()
""",
        "acos and a sign": """
def encode(azimuth, fold=1):
    code = torch.empty(*azimuth.shape, 2, dtype=azimuth.dtype)
    code[..., 0] = torch.sin(azimuth * (fold * math.pi / 180))
    code[..., 1] = torch.sin(azimuth * (fold * math.pi / 180) + math.pi / 2)
    return code


def decode(code, fold=1):
    length = code.pow(2).sum(-1).sqrt()
    half = torch.acos((code[..., 1] / length).clamp(-1, 1))
    whole = torch.where(code[..., 0] >= 0, half, 2 * math.pi - half)
    return whole * 180 / math.pi / fold


def mean_azimuth(azimuths):
    s, c = encode(azimuths).mean(0)
    return torch.rad2deg(torch.atan2(s, c)) % 360, torch.hypot(s, c)
""",
    },
)

# ---------------------------------------------------------------------------------------- task 2

E = "e = u - (x - (1 - s) * b[:, None, None])"
Z = "z = image_weight * (e**2).sum(1).mean() + mask_weight * (f**2).mean()"
GRADIENTS = "return z, 2 * image_weight * e / f.numel(), 2 * mask_weight * f / f.numel()"
ANY = "((e - mean * f) ** 2 + variance * f**2).sum(1).mean()"

loss = Task(
    wrong={
        "part: s x": Edit((E, "e = u - s * x")),
        "part: wall added": Edit((E, "e = u - (x + (1 - s) * b[:, None, None])")),
        "part: colour along the width": Edit(
            (E, "e = u - (x - (1 - s) * (b if len(b) == x.shape[3] else b[:, None, None]))")
        ),
        "value: mean over channels": Edit((Z, "z = image_weight * (e**2).mean() + mask_weight * (f**2).mean()")),
        "value: sum": Edit((Z, "z = image_weight * (e**2).sum() + mask_weight * (f**2).sum()")),
        "value: weights swapped": Edit((Z, "z = mask_weight * (e**2).sum(1).mean() + image_weight * (f**2).mean()")),
        "value: mask for each channel": Edit((Z, "z = (image_weight * e**2 + mask_weight * f**2).sum(1).mean()")),
        "value: x changed": Edit((E, "x -= (1 - s) * b[:, None, None]\n    e = u - x")),
        "gradients: 2 missing": Edit(
            (GRADIENTS, "return z, image_weight * e / f.numel(), mask_weight * f / f.numel()")
        ),
        "gradients: not divided": Edit((GRADIENTS, "return z, 2 * image_weight * e, 2 * mask_weight * f")),
        "gradients: mask's divided by channels": Edit(
            (GRADIENTS, "return z, 2 * image_weight * e / f.numel(), 2 * mask_weight * f / e.numel()")
        ),
        "gradients: float64": Edit(
            (GRADIENTS, "return z, 2 * image_weight * e.double() / f.numel(), 2 * mask_weight * f.double() / f.numel()")
        ),
        "walls: sign of the cross term": Edit((ANY, "((e + mean * f) ** 2 + variance * f**2).sum(1).mean()")),
        "walls: no cross term": Edit((ANY, "(e**2 + (mean**2 + variance) * f**2).sum(1).mean()")),
        "walls: mask counts once": Edit(
            (ANY, "(e**2 - 2 * mean * e * f).sum(1).mean() + (mean**2 + variance) * (f**2).mean()")
        ),
        "walls: variance for the second moment": Edit(
            (ANY, "(e**2 - 2 * mean * e * f + variance * f**2).sum(1).mean()")
        ),
        "walls: drawn at random": Edit(
            (
                ANY,
                "((e - (mean + variance**0.5 * torch.randn(20, *e.shape[:2], 1, 1).double()) * f) ** 2).sum(2).mean()",
            )
        ),
    },
    right={
        "in steps, with einsum": """
def drawing_loss(u, v, x, s, b, image_weight=10.0, mask_weight=1.0):
    wall = b.reshape(1, -1, 1, 1)
    part = x - wall + s * wall
    n, _, h, w = x.shape
    z = image_weight * ((u - part) ** 2).sum() / (n * h * w) + mask_weight * ((v - s) ** 2).sum() / (n * h * w)
    dz_du = (u - part) * (2 * image_weight / (n * h * w))
    dz_dv = (v - s) * (2 * mask_weight / (n * h * w))
    return z, dz_du, dz_dv


def any_wall(e, f, mean, variance):
    pixels = f.numel()
    cross = torch.einsum("nchw,nhw->", e, f[:, 0])
    return (torch.sum(e * e) - 2 * mean * cross + e.shape[1] * (mean**2 + variance) * torch.sum(f * f)) / pixels
""",
        "channel by channel, and two walls": """
def drawing_loss(u, v, x, s, b, image_weight=10.0, mask_weight=1.0):
    z, dz_du = mask_weight * (v - s).square().mean(), torch.zeros_like(u)
    for c in range(x.shape[1]):
        part = x[:, c] - (1 - s[:, 0]) * b[c]
        z = z + image_weight * (u[:, c] - part).square().mean()
        dz_du[:, c] = 2 * image_weight * (u[:, c] - part) / part.numel()
    return [z, dz_du, 2 * mask_weight * (v - s) / v.numel()]


def any_wall(e, f, mean, variance):
    walls = [mean + variance**0.5, mean - variance**0.5]
    return sum((e - w * f).square().sum(1).mean() for w in walls) / 2
""",
    },
)

# ---------------------------------------------------------------------------------------- task 3

ABOVE = "above = ((T - O) * room).sum(1, keepdim=True)"
BELOW = "below = (room**2).sum(1, keepdim=True)"
BEST = "torch.where(below > 0, above / torch.where(below > 0, below, 1), 0).clamp(0, 1)"

lightness = Task(
    wrong={
        "sign": Edit((ABOVE, "above = ((O - T) * room).sum(1, keepdim=True)")),
        "mean of the channels' shares": Edit(
            (BEST, "((T - O) / room.clamp(min=1e-9)).mean(1, keepdim=True).clamp(0, 1)")
        ),
        "share of the means": Edit(
            (ABOVE, "above = (T - O).sum(1, keepdim=True)"), (BELOW, "below = room.sum(1, keepdim=True)")
        ),
        "one share for an image": Edit(
            (ABOVE, "above = ((T - O) * room).sum((1, 2, 3), keepdim=True).expand(-1, 1, *O.shape[2:])"),
            (BELOW, "below = (room**2).sum((1, 2, 3), keepdim=True).expand(-1, 1, *O.shape[2:])"),
        ),
        "a share for each channel": Edit((ABOVE, "above = (T - O) * room"), (BELOW, "below = room**2")),
        "0 / 0": Edit((BEST, "(above / below).clamp(0, 1)")),
        "no limits": Edit((BEST, BEST.replace(".clamp(0, 1)", ""))),
        "float64": Edit((BEST, BEST + ".double()")),
        "0 where any channel is white": Edit((BEST, f"torch.where((room > 0).all(1, keepdim=True), {BEST}, 0)")),
    },
    right={
        "an einsum, and NaN put right": """
def best_lightness(O, T):
    M = torch.einsum("nchw,nchw->nhw", T - O, 1 - O) / torch.einsum("nchw,nchw->nhw", 1 - O, 1 - O)
    return M.nan_to_num(0.0).clamp(0, 1)[:, None]
""",
        "a loop over channels, and a tiny constant": """
def best_lightness(O, T):
    above = torch.zeros_like(O[:, 0])
    below = torch.full_like(O[:, 0], 1e-12)
    for c in range(O.shape[1]):
        above += (T[:, c] - O[:, c]) * (1 - O[:, c])
        below += (1 - O[:, c]) ** 2
    return torch.minimum(torch.ones_like(above), torch.relu(above / below)).unsqueeze(1)
""",
    },
)

# ---------------------------------------------------------------------------------------- task 4

ZEROS = "g = np.zeros((n, c, stride * h, stride * w), x.dtype)"
SET = "g[:, :, ::stride, ::stride] = x"
FORWARD_EDGE = "edge = ((k - 1) // 2, k // 2)\n    g = np.pad(unpool(x, stride), ((0, 0), (0, 0), edge, edge))\n    y ="
Y = "y = np.zeros((len(x), len(weight), height, width), x.dtype)"
ADDED = 'y += np.einsum("nchw,dc->ndhw", g[:, :, a : a + height, b : b + width], weight[:, :, a, b])'
SPREAD = 'dz_dg[window] += np.einsum("ndhw,dc->nchw", dz_dy, weight[:, :, a, b])'
OF_WEIGHT = 'dz_dweight[:, :, a, b] = np.einsum("ndhw,nchw->dc", dz_dy, g[window])'
PICKED = "dz_dg[:, :, p : p + height : stride, p : p + width : stride]"
REACHED = "((r + a - (k - 1) // 2) % stride == 0).sum(1)"


def forward_edges(above: str, below: str) -> Edit:
    """Other numbers of zeros around, in the forward pass, with the size that follows from them."""
    new = FORWARD_EDGE.replace("((k - 1) // 2, k // 2)", f"({above}, {below})").replace(
        "    y =", "    height, width = (side - k + 1 for side in g.shape[2:])\n    y ="
    )
    return Edit((FORWARD_EDGE, new))


upconvolution = Task(
    wrong={
        "unpool: always by 2": Edit(
            (ZEROS, "g = np.zeros((n, c, 2 * h, 2 * w), x.dtype)"), (SET, "g[:, :, ::2, ::2] = x")
        ),
        "unpool: copies": Edit((SET, "g += np.kron(x, np.ones((stride, stride), x.dtype))")),
        "unpool: lower right": Edit((SET, "g[:, :, stride - 1 :: stride, stride - 1 :: stride] = x")),
        "forward: k // 2 on both sides": forward_edges("k // 2", "k // 2"),
        "forward: more above": forward_edges("k // 2", "(k - 1) // 2"),
        "forward: kernel reversed": Edit(
            (ADDED, ADDED.replace("weight[:, :, a, b]", "weight[:, :, k - 1 - a, k - 1 - b]"))
        ),
        "forward: channels swapped": Edit(
            (Y, Y.replace("len(weight)", "weight.shape[1]")), (ADDED, ADDED.replace("nchw,dc->ndhw", "nchw,cd->ndhw"))
        ),
        "forward: float64": Edit((Y, Y.replace(", x.dtype", ""))),
        "forward: stride at least 2": Edit(
            (FORWARD_EDGE, FORWARD_EDGE.replace("unpool(x, stride)", "unpool(x, max(stride, 2))"))
        ),
        "dz_dx: sums of blocks": Edit(
            (
                PICKED,
                "dz_dg[:, :, p : p + height, p : p + width].reshape(*x.shape[:3], stride, x.shape[3], stride).sum((3, 5))",
            )
        ),
        "dz_dx: kernel not reversed": Edit(
            (PICKED, "upconvolve(dz_dy, weight.swapaxes(0, 1), 1)[:, :, ::stride, ::stride]")
        ),
        "dz_dx: the last kernel number alone": Edit((SPREAD, SPREAD.replace("+=", "="))),
        "dz_dweight: reversed": Edit(
            (OF_WEIGHT, OF_WEIGHT.replace("dz_dweight[:, :, a, b]", "dz_dweight[:, :, k - 1 - a, k - 1 - b]"))
        ),
        "dz_dweight: the first example": Edit(
            (OF_WEIGHT, 'dz_dweight[:, :, a, b] = np.einsum("dhw,chw->dc", dz_dy[0], g[window][0])')
        ),
        "reach: no padding": Edit((REACHED, "((r + a) % stride == 0).sum(1)")),
        "reach: rounded down": Edit((REACHED, "np.full(stride, k // stride)")),
    },
    right={
        "each value adds its kernel": """
def unpool(x, stride):
    n, c, h, w = x.shape
    blocks = np.zeros((n, c, h, stride, w, stride), x.dtype)
    blocks[:, :, :, 0, :, 0] = x
    return blocks.reshape(n, c, h * stride, w * stride)


def places(i, stride, k, size):
    # the rows of the output that value i reaches, and with which row of the kernel
    for a in range(k):
        row = stride * i - a + (k - 1) // 2
        if 0 <= row < size:
            yield row, a


def upconvolve(x, weight, stride):
    n, c, h, w = x.shape
    d, k = weight.shape[0], weight.shape[2]
    y = np.zeros((n, d, stride * h, stride * w), x.dtype)
    for i in range(h):
        for j in range(w):
            for row, a in places(i, stride, k, stride * h):
                for column, b in places(j, stride, k, stride * w):
                    y[:, :, row, column] += x[:, :, i, j] @ weight[:, :, a, b].T
    return y


def upconvolve_backward(dz_dy, x, weight, stride):
    n, c, h, w = x.shape
    k = weight.shape[2]
    dz_dx, dz_dweight = np.zeros(x.shape), np.zeros(weight.shape)
    for i in range(h):
        for j in range(w):
            for row, a in places(i, stride, k, stride * h):
                for column, b in places(j, stride, k, stride * w):
                    dz_dx[:, :, i, j] += dz_dy[:, :, row, column] @ weight[:, :, a, b]
                    dz_dweight[:, :, a, b] += dz_dy[:, :, row, column].T @ x[:, :, i, j]
    return dz_dx, dz_dweight


def reach(k, stride):
    met = [0] * stride
    for a in range(k):
        met[(k - 1) // 2 % stride - a % stride] += 1
    return np.array(met)
""",
        "windows as a view": """
def unpool(x, stride):
    one = np.zeros((stride, stride), dtype=x.dtype)
    one[0, 0] = 1
    return np.kron(x, one)


def windows(x, k, stride):
    edge = ((k - 1) // 2, k - 1 - (k - 1) // 2)
    padded = np.pad(unpool(x, stride), ((0, 0), (0, 0), edge, edge))
    return np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))  # (N, C, sH, sW, k, k)


def upconvolve(x, weight, stride):
    return np.einsum("nchwab,dcab->ndhw", windows(x, weight.shape[2], stride), weight)


def upconvolve_backward(dz_dy, x, weight, stride):
    k = weight.shape[2]
    before = k - 1 - (k - 1) // 2
    padded = np.pad(dz_dy, ((0, 0), (0, 0), (before, k - 1 - before), (before, k - 1 - before)))
    seen = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))[:, :, ::stride, ::stride]
    dz_dx = np.einsum("ndhwab,dcab->nchw", seen, weight[:, :, ::-1, ::-1])
    return dz_dx, np.einsum("ndhw,nchwab->dcab", dz_dy, windows(x, k, stride))


def reach(k, stride):
    offsets = np.arange(k) - (k - 1) // 2
    return np.array([np.count_nonzero((offsets + r) % stride == 0) for r in range(stride)])
""",
    },
)

# ---------------------------------------------------------------------------------------- task 5

X_T = "X_t = np.arange(width) - (width - 1) / 2 - r"
Y_T = "Y_t = np.arange(height)[:, None] - (height - 1) / 2 - d"
X_S = "X_s = np.exp(-q) * (np.cos(a) * X_t - np.sin(a) * Y_t)"
Y_S = "Y_s = np.exp(-q) * (np.sin(a) * X_t + np.cos(a) * Y_t)"
GRID = "return np.stack([2 * X_s / width, 2 * Y_s / height], -1)"
PIXELS = "by_X, by_Y = np.moveaxis(dz_dgrid / pixels, -1, 0)"
EACH = "each = [X_s * by_Y - Y_s * by_X, -X_s * by_X - Y_s * by_Y, by_X, by_Y]"
SUMS = "dz_da, dz_dq, sum_X, sum_Y = (part.sum((1, 2)) for part in each)"
DZ_DP = "np.stack([dz_da, dz_dq, -cos * sum_X - sin * sum_Y, sin * sum_X - cos * sum_Y], 1)"
PLACES = "X_s, Y_s = np.moveaxis(picture_grid(p, height, width) * pixels, -1, 0)"

grid = Task(
    wrong={
        "places: corners at -1 and 1": Edit(
            (GRID, "return np.stack([2 * X_s / max(width - 1, 1), 2 * Y_s / max(height - 1, 1)], -1)")
        ),
        "places: half a pixel": Edit(
            (X_T, "X_t = np.arange(width) - width / 2 - r"), (Y_T, "Y_t = np.arange(height)[:, None] - height / 2 - d")
        ),
        "places: the eye": Edit(
            (X_T, "X_t = np.arange(width) - (width - 1) / 2"),
            (Y_T, "Y_t = np.arange(height)[:, None] - (height - 1) / 2"),
            (X_S, "X_s = np.exp(q) * (np.cos(a) * X_t + np.sin(a) * Y_t) + r"),
            (Y_S, "Y_s = np.exp(q) * (-np.sin(a) * X_t + np.cos(a) * Y_t) + d"),
        ),
        "zoom: not an exponential": Edit(
            (X_S, X_S.replace("np.exp(-q)", "1 / np.where(q == 0, 1, q)")),
            (Y_S, Y_S.replace("np.exp(-q)", "1 / np.where(q == 0, 1, q)")),
        ),
        "shift: up": Edit((Y_T, Y_T.replace("- d", "+ d"))),
        "shift: last": Edit(
            (X_T, X_T.replace(" - r", "")), (Y_T, Y_T.replace(" - d", "")), (X_S, X_S + " - r"), (Y_S, Y_S + " - d")
        ),
        "shift: not turned": Edit(
            (X_T, X_T.replace(" - r", "")),
            (Y_T, Y_T.replace(" - d", "")),
            (X_S, X_S + " - np.exp(-q) * r"),
            (Y_S, Y_S + " - np.exp(-q) * d"),
        ),
        "turn: clockwise": Edit((X_S, X_S.replace("- np.sin", "+ np.sin")), (Y_S, Y_S.replace("(np.sin", "(-np.sin"))),
        "turn: pixels not square": Edit(
            (X_S, X_S.replace("np.sin(a) * Y_t", "np.sin(a) * Y_t * width / height")),
            (Y_S, Y_S.replace("np.sin(a) * X_t", "np.sin(a) * X_t * height / width")),
        ),
        "turn: about the corner": Edit(
            (X_T, "X_t = np.arange(width) - r"),
            (Y_T, "Y_t = np.arange(height)[:, None] - d"),
            (GRID, "return np.stack([(2 * X_s + 1) / width - 1, (2 * Y_s + 1) / height - 1], -1)"),
        ),
        "p changed": Edit(
            ("a, q, r, d = p.T[..., None, None]", "p[:, 1] = np.exp(-p[:, 1])\n    a, q, r, d = p.T[..., None, None]"),
            (X_S, X_S.replace("np.exp(-q)", "q")),
            (Y_S, Y_S.replace("np.exp(-q)", "q")),
        ),
        "backward: multiplied by W/2": Edit((PIXELS, PIXELS.replace("/ pixels", "* pixels"))),
        "backward: mean": Edit((SUMS, SUMS.replace("part.sum", "part.mean"))),
        "backward: a, place in the output": Edit(
            (
                PLACES,
                f"{PLACES}\n    X_t, Y_t = np.arange(width) - (width - 1) / 2, np.arange(height)[:, None] - (height - 1) / 2",
            ),
            (EACH, EACH.replace("X_s * by_Y - Y_s * by_X,", "X_t * by_Y - Y_t * by_X,")),
        ),
        "backward: sign of q": Edit((EACH, EACH.replace("-X_s * by_X - Y_s * by_Y", "X_s * by_X + Y_s * by_Y"))),
        "backward: shift as it is": Edit((DZ_DP, "np.stack([dz_da, dz_dq, -sum_X, -sum_Y], 1)")),
        "backward: shift turned the wrong way": Edit(
            (DZ_DP, "np.stack([dz_da, dz_dq, -cos * sum_X + sin * sum_Y, -sin * sum_X - cos * sum_Y], 1)")
        ),
    },
    right={
        "matrices": """
def source(p, height, width):
    a, q, r, d = p.T
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])  # (2, 2, N)
    y, x = np.mgrid[:height, :width]
    target = np.stack([x - (width - 1) / 2, y - (height - 1) / 2], -1)
    centred = target - p[:, None, None, 2:]
    return np.exp(-q) * turn, np.einsum("kcn,nhwc->nhwk", np.exp(-q) * turn, centred)


def picture_grid(p, height, width):
    return source(p, height, width)[1] / np.array([width / 2, height / 2])


def picture_grid_backward(dz_dgrid, p):
    height, width = dz_dgrid.shape[1:3]
    matrix, place = source(p, height, width)
    by_place = dz_dgrid * np.array([2 / width, 2 / height])
    quarter = np.stack([-place[..., 1], place[..., 0]], -1)
    dz_da = (quarter * by_place).sum((1, 2, 3))
    dz_dq = -(place * by_place).sum((1, 2, 3))
    shift = -np.einsum("kcn,nhwk->nc", matrix, by_place)
    return np.column_stack([dz_da, dz_dq, shift])
""",
        "example by example, through theta": """
def theta_of(one, height, width):
    a, q, r, d = one
    motion = np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1.0]])
    motion[:2] *= np.exp(q)
    motion[:2, 2] = r, d
    units = np.diag([width / 2, height / 2, 1])
    return (np.linalg.inv(units) @ np.linalg.inv(motion) @ units)[:2]


def targets(height, width):
    x, y = ((2 * np.arange(n) + 1) / n - 1 for n in (width, height))
    return np.stack([*np.meshgrid(x, y), np.ones((height, width))], axis=-1)


def picture_grid(p, height, width):
    return np.stack([targets(height, width) @ theta_of(one, height, width).T for one in p])


def picture_grid_backward(dz_dgrid, p):
    height, width = dz_dgrid.shape[1:3]
    found = []
    for one, r in zip(p, dz_dgrid):
        dz_dtheta = np.einsum("hwk,hwc->kc", r, targets(height, width))
        step, row = 1e-5, []
        for k in range(4):
            e = step * np.eye(4)[k]
            slope = (theta_of(one + e, height, width) - theta_of(one - e, height, width)) / (2 * step)
            row.append(np.sum(dz_dtheta * slope))
        found.append(row)
    return np.array(found)
""",
    },
)

# ---------------------------------------------------------------------------------------- task 6

SEEN_PLACE = "place = ((grid[..., axis, None] + 1) * size - 1) / 2"
SLOPE = "slope = ((ahead > 0) & (ahead <= 1)) * 1.0 - ((ahead > -1) & (ahead <= 0)) * 1.0"
FOUND = "found.append((np.maximum(0, 1 - np.abs(ahead)), slope))"
AXES = "((0, U.shape[3]), (1, U.shape[2]))"
V = "return seen + b[:, None, None] * (1 - inside)"
WALLED = "above = U - b[:, None, None]"
BY_X = 'dz_dx = np.einsum("nchw,ncij,nhwj,nhwi->nhw", dz_dV, above, slopes_x, hats_y, optimize=True) * U.shape[3] / 2'
BY_Y = 'dz_dy = np.einsum("nchw,ncij,nhwj,nhwi->nhw", dz_dV, above, hats_x, slopes_y, optimize=True) * U.shape[2] / 2'
DZ_DGRID = "np.stack([dz_dx, dz_dy], -1)"
DZ_DB = 'np.einsum("nchw,nhw->c", dz_dV, outside)'

FOUR = '''
def around(U, grid):
    """For each of the four pixels: is it inside, where it is, its share in x and in y."""
    n, c, h, w = U.shape
    x, y = ((grid[..., 0] + 1) * w - 1) / 2, ((grid[..., 1] + 1) * h - 1) / 2
    left, top = np.floor(x), np.floor(y)
    for i in (0, 1):
        for j in (0, 1):
            row, column = top + i, left + j
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            share_x, share_y = 1 - np.abs(x - column), 1 - np.abs(y - row)
            row, column = np.clip(row, 0, h - 1).astype(int), np.clip(column, 0, w - 1).astype(int)
            yield inside, row, column, share_x, share_y, 2 * j - 1, 2 * i - 1


def sample(U, grid, b):
    N = np.arange(len(U))[:, None, None]
    V = np.zeros((*grid.shape[:3], U.shape[1])) + b
    for inside, row, column, share_x, share_y, _, _ in around(U, grid):
        V += (inside * share_x * share_y)[..., None] * (U.transpose(0, 2, 3, 1)[N, row, column] - b)
    return V.transpose(0, 3, 1, 2)


def sample_backward(dz_dV, U, grid, b):
    N = np.arange(len(U))[:, None, None]
    r = dz_dV.transpose(0, 2, 3, 1)
    dz_dU, dz_dgrid, dz_db = np.zeros(U.transpose(0, 2, 3, 1).shape), np.zeros(grid.shape), r.sum((0, 1, 2))
    for inside, row, column, share_x, share_y, right, below in around(U, grid):
        share = (inside * share_x * share_y)[..., None]
        np.add.at(dz_dU, (N, row, column), share * r)
        dz_db = dz_db - (share * r).sum((0, 1, 2))
        pull = inside * (r * (U.transpose(0, 2, 3, 1)[N, row, column] - b)).sum(-1)
        dz_dgrid[..., 0] += pull * right * share_y * U.shape[3] / 2
        dz_dgrid[..., 1] += pull * below * share_x * U.shape[2] / 2
    return dz_dU.transpose(0, 3, 1, 2), dz_dgrid, dz_db
'''


def four(*changes: tuple[str, str]) -> str:
    """The solution with the four pixels, changed."""
    source = FOUR
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    return source


sampler = Task(
    wrong={
        "place: y first": Edit((AXES, "((1, U.shape[3]), (0, U.shape[2]))")),
        "place: corners at -1 and 1": Edit((SEEN_PLACE, "place = (grid[..., axis, None] + 1) * (size - 1) / 2")),
        "place: half a pixel": Edit((SEEN_PLACE, "place = (grid[..., axis, None] + 1) * size / 2")),
        "hats: nearest": Edit((FOUND, "found.append(((np.abs(ahead) < 0.5) * 1.0, slope))")),
        "values: no wall": Edit((V, "return seen")),
        "values: the border goes on": Edit(
            (SEEN_PLACE, "place = (((grid[..., axis, None] + 1) * size - 1) / 2).clip(0, size - 1)")
        ),
        "values: wall at once": Edit((V, "return np.where(inside < 1 - 1e-9, b[:, None, None], seen)")),
        "values: rounded towards zero": four(
            ("left, top = np.floor(x), np.floor(y)", "left, top = np.trunc(x), np.trunc(y)")
        ),
        "values: indices from the end": four(
            (
                "inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)",
                "inside = (row >= -1) & (row < h) & (column >= -1) & (column < w)",
            ),
            (
                "row, column = np.clip(row, 0, h - 1).astype(int), np.clip(column, 0, w - 1).astype(int)",
                "row, column = np.clip(row, -1, h - 1).astype(int), np.clip(column, -1, w - 1).astype(int)",
            ),
        ),
        "grid changed": Edit(
            ("found = []", "grid += 1"),
            ("for axis, size in", "found = []\n    for axis, size in"),
            (SEEN_PLACE, "place = (grid[..., axis, None] * size - 1) / 2"),
        ),
        "image: one of several places": four(
            ("np.add.at(dz_dU, (N, row, column), share * r)", "dz_dU[N, row, column] += share * r")
        ),
        "image: outside at the border": four(
            (
                "np.add.at(dz_dU, (N, row, column), share * r)",
                "np.add.at(dz_dU, (N, row, column), (share_x * share_y)[..., None] * r)",
            )
        ),
        "grid: in pixels": Edit((DZ_DGRID, f"{DZ_DGRID} / np.array([U.shape[3] / 2, U.shape[2] / 2])")),
        "grid: (W - 1)/2": Edit(
            (BY_X, BY_X.replace("U.shape[3]", "(U.shape[3] - 1)")),
            (BY_Y, BY_Y.replace("U.shape[2]", "(U.shape[2] - 1)")),
        ),
        "grid: sign": Edit((DZ_DGRID, f"-{DZ_DGRID}")),
        "grid: y first": Edit((DZ_DGRID, "np.stack([dz_dy, dz_dx], -1)")),
        "grid: no wall": Edit((WALLED, "above = U")),
        "grid: border goes on": four(
            (
                "pull = inside * (r * (U.transpose(0, 2, 3, 1)[N, row, column] - b)).sum(-1)",
                "pull = (r * U.transpose(0, 2, 3, 1)[N, row, column]).sum(-1)",
            ),
        ),
        "wall: the sum": Edit((DZ_DB, 'np.einsum("nchw->c", dz_dV)')),
        "wall: only far outside": Edit((DZ_DB, 'np.einsum("nchw,nhw->c", dz_dV, (outside > 1 - 1e-9) * 1.0)')),
        "kinks: slope to the left": Edit(
            (SLOPE, "slope = ((ahead >= 0) & (ahead < 1)) * 1.0 - ((ahead >= -1) & (ahead < 0)) * 1.0")
        ),
        "kinks: as printed": Edit(
            (SLOPE, "slope = np.where(np.abs(ahead) >= 1, 0.0, np.where(ahead >= 0, 1.0, -1.0))")
        ),
    },
    right={
        "the four pixels": FOUR,
        "matrices of hats, example by example": """
def hat_matrix(places, size):
    pixel = ((places + 1) * size - 1) / 2
    distance = np.arange(size)[None] - pixel[:, None]
    slope = np.where((0 < distance) & (distance <= 1), 1, 0) - np.where((-1 < distance) & (distance <= 0), 1, 0)
    return np.clip(1 - np.abs(distance), 0, None), slope * size / 2


def sample(U, grid, b):
    V = np.empty((U.shape[0], U.shape[1], *grid.shape[1:3]))
    for n, image in enumerate(U):
        A, _ = hat_matrix(grid[n, ..., 0].ravel(), U.shape[3])
        B, _ = hat_matrix(grid[n, ..., 1].ravel(), U.shape[2])
        for c in range(U.shape[1]):
            seen = ((B @ image[c]) * A).sum(1) + b[c] * (1 - A.sum(1) * B.sum(1))
            V[n, c] = seen.reshape(grid.shape[1:3])
    return V


def sample_backward(dz_dV, U, grid, b):
    dz_dU, dz_dgrid, dz_db = np.zeros(U.shape), np.zeros(grid.shape), np.zeros(b.shape)
    for n, image in enumerate(U):
        A, dA = hat_matrix(grid[n, ..., 0].ravel(), U.shape[3])
        B, dB = hat_matrix(grid[n, ..., 1].ravel(), U.shape[2])
        for c in range(U.shape[1]):
            r = dz_dV[n, c].ravel()
            dz_dU[n, c] = B.T @ (r[:, None] * A)
            dz_db[c] += r @ (1 - A.sum(1) * B.sum(1))
            for k, (P, Q) in enumerate(((dA, B), (A, dB))):
                slope = ((Q @ image[c]) * P).sum(1) - b[c] * P.sum(1) * Q.sum(1)
                dz_dgrid[n, ..., k] += (r * slope).reshape(grid.shape[1:3])
    return [dz_dU, dz_dgrid, dz_db]
""",
    },
)

# ---------------------------------------------------------------------------------------- task 7

FIELD_X = "x = torch.arange(w) + field[:, 0]"
FIELD_Y = "y = (torch.arange(h)[:, None] + field[:, 1]).clamp(0, h - 1)"
CORNER = "left, top = x.detach().floor(), y.detach().floor()"
SHARES = "right_share, below_share = x - left, y - top"
AT = "place = (row.clamp(max=h - 1) * w + column % w).long().view(n, 1, h * w).expand(-1, c, -1)"
TOTAL = '2 * F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False) + fine'
ONE = "return second + move(first, second)"

panorama = Task(
    wrong={
        "move: sign": Edit(
            (FIELD_X, FIELD_X.replace("+ field", "- field")), (FIELD_Y, FIELD_Y.replace("+ field", "- field"))
        ),
        "move: u and v swapped": Edit(
            (FIELD_X, FIELD_X.replace("0]", "1]")), (FIELD_Y, FIELD_Y.replace("field[:, 1]", "field[:, 0]"))
        ),
        "move: nearest": Edit((CORNER, "x, y = x.round(), y.round()\n    " + CORNER)),
        "move: x ends": Edit(
            (FIELD_X, "x = (torch.arange(w) + field[:, 0]).clamp(0, w - 1)"),
            (AT, AT.replace("column % w", "column.clamp(max=w - 1)")),
        ),
        "move: y around": Edit(
            (FIELD_Y, FIELD_Y.replace(".clamp(0, h - 1)", "")), (AT, AT.replace("row.clamp(max=h - 1)", "row % h"))
        ),
        "move: a seam": Edit((FIELD_X, "x = ((torch.arange(w) + field[:, 0]) % w).clamp(max=w - 1)")),
        "move: around once only": Edit(
            (
                AT,
                AT.replace(
                    "column % w",
                    "torch.where(column < 0, column + w, torch.where(column >= w, column - w, column)).clamp(0, w - 1)",
                ),
            )
        ),
        "move: float64": Edit((SHARES, "right_share, below_share = (x - left).double(), (y - top).double()")),
        "move: field changed": Edit(
            (
                "n, c, h, w = image.shape",
                "n, c, h, w = image.shape\n    field.data[:, 1] *= 1.5\n    field.data[:, 1] /= 1.5\n    field.data[:, 0] -= w * (field[:, 0] / w).detach().floor()",
            )
        ),
        "gradient: none by the field": Edit(
            (SHARES, "right_share, below_share = (x - left).detach(), (y - top).detach()")
        ),
        "gradient: y not cut off": Edit(
            (FIELD_Y, "y = torch.arange(h)[:, None] + field[:, 1]\n    y = y + (y.clamp(0, h - 1) - y).detach()")
        ),
        "total: not doubled": Edit((TOTAL, TOTAL.replace("2 * F", "F"))),
        "total: corners": Edit((TOTAL, TOTAL.replace("align_corners=False", "align_corners=True"))),
        "one: the sum": Edit((ONE, "return first + second")),
        "one: the other order": Edit((ONE, "return first + move(second, first)")),
    },
    right={
        "hats of every column, around": """
def move(image, field):
    h, w = image.shape[2:]
    x = torch.arange(w) + field[:, 0]
    y = torch.minimum(torch.maximum(torch.arange(h)[:, None] + field[:, 1], torch.zeros(1)), torch.full((1,), h - 1))
    distance = torch.remainder(x[..., None] - torch.arange(w), w)
    across = torch.relu(1 - torch.minimum(distance, w - distance))
    down = torch.relu(1 - (y[..., None] - torch.arange(h)).abs())
    return torch.einsum("ncij,nhwi,nhwj->nchw", image, down.to(image), across.to(image))


def total_field(coarse, fine):
    return F.interpolate(2 * coarse, size=fine.shape[2:], mode="bilinear", align_corners=False).add(fine)


def as_one(first, second):
    at = move(first, second)
    return at + second
""",
        "advanced indices": """
def move(image, field):
    n, c, h, w = image.shape
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    y = (rows + field[:, 1]).clamp(min=0, max=h - 1)
    x = columns + field[:, 0]
    i, j = y.floor().long(), x.floor().long()
    t, s = (y - i)[:, None], (x - j)[:, None]
    i2, j, j2 = (i + 1).clamp(max=h - 1), j.remainder(w), (j + 1).remainder(w)
    k = torch.arange(n)[:, None, None]
    at = image.permute(0, 2, 3, 1)
    ul, ur, ll, lr = (at[k, a, b].permute(0, 3, 1, 2) for a, b in ((i, j), (i, j2), (i2, j), (i2, j2)))
    return torch.lerp(torch.lerp(ul, ur, s.expand_as(ul)), torch.lerp(ll, lr, s.expand_as(ul)), t.expand_as(ul))


def total_field(coarse, fine):
    enlarged = F.interpolate(coarse, scale_factor=(2, 2), mode="bilinear")
    return fine + enlarged + enlarged


def as_one(first, second):
    h, w = first.shape[2:]
    places = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy")).to(first)
    return second + places + move(first, second) - places
""",
    },
)

TASKS = {
    "angle": angle,
    "loss": loss,
    "lightness": lightness,
    "upconvolution": upconvolution,
    "grid": grid,
    "sampler": sampler,
    "panorama": panorama,
}
