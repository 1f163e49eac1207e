"""The spatial transformer by hand, in NumPy: where to look (the grid), what is seen there (the bilinear sampler).

Places are written as in torch: a grid holds (x, y), x along the width, both from −1 to 1 across the image. What −1 and
1 are is the one thing to agree on, and `align_corners` says it: the centres of the corner pixels (True), or the outer
edges of the image (False). In pixels, with 0 the centre of the first,

    x_pixel = (x + 1)/2 · (W − 1)        align_corners=True
    x_pixel = ((x + 1) · W − 1)/2        align_corners=False

Jaderberg et al. 2015, Spatial Transformer Networks, section 3.
"""

from __future__ import annotations

import numpy as np

from course_lib.errors import CourseError
from course_lib.scratch.layers import Layer


def centres(size: int, *, align_corners: bool) -> np.ndarray:
    """Where the centres of `size` pixels in a row lie, from −1 to 1, (size,), float64; 0 for a single pixel."""
    if size == 1:
        return np.zeros(1)
    return np.linspace(-1, 1, size) if align_corners else (2 * np.arange(size) + 1) / size - 1


class AffineGrid(Layer):
    """For every pixel of the output, the place in the input that it shows.

        (x_s, y_s)ᵀ = θ (x_t, y_t, 1)ᵀ        dz/dθ = Σ_pixels (dz/d(x_s, y_s)) (x_t, y_t, 1)

    θ = [[1, 0, 0], [0, 1, 0]] is the identity. θ maps places of the output to places of the input, so [[2, 0, 0],
    [0, 2, 0]] shows everything at half its size.

    Args:
        height, width: of the output.
        align_corners: what −1 and 1 mean.

    Shapes: θ (N, 2, 3) → grid (N, height, width, 2).

    Raises:
        CourseError: θ is not (N, 2, 3).

    Jaderberg et al. 2015, eq. 1.
    """

    def __init__(self, height: int, width: int, *, align_corners: bool = False) -> None:
        super().__init__()
        y, x = (centres(size, align_corners=align_corners) for size in (height, width))
        self.target = np.stack([*np.meshgrid(x, y), np.ones((height, width))], axis=-1)  # (H, W, 3): x_t, y_t, 1

    def forward(self, x: np.ndarray) -> np.ndarray:
        if x.ndim != 3 or x.shape[1:] != (2, 3):
            raise CourseError(
                f"An affine grid is made from (N, 2, 3) and got {x.shape}; reshape the six numbers first."
            )
        self.dtype = x.dtype
        return np.einsum("nkc,hwc->nhwk", x, self.target.astype(x.dtype))  # (N, H, W, 2)

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        return np.einsum("nhwk,hwc->nkc", dz_dy, self.target.astype(self.dtype))  # (N, 2, 3)


class BilinearSampler(Layer):
    """The image at the places of a grid, each a mean of the four pixels around it.

        V_i = Σ_n Σ_m U_nm max(0, 1 − |x_i − m|) max(0, 1 − |y_i − n|)                            (eq. 5)
        dz/dU_nm = Σ_i (dz/dV_i) max(0, 1 − |x_i − m|) max(0, 1 − |y_i − n|)                       (eq. 6)
        dz/dx_i = (dz/dV_i) Σ_n Σ_m U_nm max(0, 1 − |y_i − n|) · {1 if m is right of x_i, −1 if left, 0 if far}  (eq. 7)

    for every example and channel; dz/dx_i is summed over channels; dz/dy_i likewise. x_i and y_i are in pixels here
    (see the top of this file), and what is outside the image is 0. Of the H·W terms of each sum four are not zero, and
    those four are what is computed. At a whole x_i the derivative does not exist: this takes the pixels at x_i and
    x_i + 1, the derivative to the right, as torch does.

    Args:
        align_corners: what −1 and 1 mean.

    `forward(image, grid)`: image (N, C, H, W); grid (N, H', W', 2), finite; → (N, C, H', W').
    `backward(dz_dy)` returns dz/dimage and leaves dz/dgrid in `dz_dgrid` (N, H', W', 2).

    Raises:
        CourseError: image and grid do not fit each other.

    Jaderberg et al. 2015, eqs. 5 to 7.
    """

    def __init__(self, *, align_corners: bool = False) -> None:
        super().__init__()
        self.align_corners = align_corners

    def forward(self, x: np.ndarray, grid: np.ndarray) -> np.ndarray:
        if x.ndim != 4 or grid.ndim != 4 or grid.shape[0] != x.shape[0] or grid.shape[3] != 2:
            raise CourseError(
                f"An image (N, C, H, W) and a grid (N, H', W', 2) were expected, not {x.shape} and {grid.shape}."
            )
        self.x = x
        self.size = np.array(x.shape[:1:-1])  # W, H: in the order of the grid
        span = self.size - 1 if self.align_corners else self.size
        self.pixels_per_unit = (span / 2).astype(grid.dtype)  # the derivative of x_pixel by x
        place = grid * self.pixels_per_unit + ((self.size - 1) / 2).astype(grid.dtype)  # (N, H', W', 2), in pixels
        self.first = np.floor(place)  # m = left of x_i, n = above y_i
        self.rest = place - self.first  # in [0, 1): how far x_i is on the way to the next
        y = np.zeros((len(x), *grid.shape[1:3], x.shape[1]), x.dtype)  # (N, H', W', C)
        for right, below in np.ndindex(2, 2):
            u, weight_x, weight_y = self._corner(right, below)
            y += u * (weight_x * weight_y)[..., None]
        return y.transpose(0, 3, 1, 2)  # (N, C, H', W')

    def backward(self, dz_dy: np.ndarray) -> np.ndarray:
        dz_dv = dz_dy.transpose(0, 2, 3, 1)  # (N, H', W', C)
        dz_du = np.zeros_like(self.x.transpose(0, 2, 3, 1))  # (N, H, W, C)
        dz_dplace = np.zeros_like(self.rest)  # (N, H', W', 2)
        for right, below in np.ndindex(2, 2):
            u, weight_x, weight_y = self._corner(right, below)
            inside, n, row, column = self._where(right, below)
            weight = weight_x * weight_y * inside
            np.add.at(dz_du, (n, row, column), dz_dv * weight[..., None])  # several places may look at one pixel
            slope = (dz_dv * u).sum(axis=-1)  # (N, H', W'): over channels
            dz_dplace[..., 0] += slope * weight_y * (1 if right else -1)
            dz_dplace[..., 1] += slope * weight_x * (1 if below else -1)
        self.dz_dgrid = dz_dplace * self.pixels_per_unit
        return dz_du.transpose(0, 3, 1, 2)  # (N, C, H, W)

    def _corner(self, right: int, below: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One of the four pixels around each place, (N, H', W', C), and its two weights, (N, H', W')."""
        inside, n, row, column = self._where(right, below)
        u = self.x.transpose(0, 2, 3, 1)[n, row, column] * inside[..., None]
        weight_x, weight_y = (
            self.rest[..., axis] if last else 1 - self.rest[..., axis] for axis, last in enumerate((right, below))
        )
        return u, weight_x, weight_y

    def _where(self, right: int, below: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Is that pixel inside the image, (N, H', W') bool; and its example, row and column (some pixel, if not)."""
        place = self.first + np.array([right, below])
        inside = ((place >= 0) & (place < self.size)).all(axis=-1)
        column, row = np.moveaxis(np.clip(place, 0, self.size - 1).astype(np.intp), -1, 0)
        return inside, np.arange(len(self.x))[:, None, None], row, column
