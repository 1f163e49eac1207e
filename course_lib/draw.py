"""Pictures: image grids, curves, densities, and the live board of a training run. One style for the whole course."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib.errors import CourseError
from course_lib.jupyter import in_notebook

# Okabe and Ito's palette: told apart by readers with any common colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
REAL, FAKE = COLOURS[0], COLOURS[1]  # the course draws data in blue and samples in orange


def use_style() -> None:
    """Set matplotlib's defaults for the course: readable sizes, no clutter, the palette above."""
    plt.rcParams.update(
        {
            "axes.prop_cycle": plt.cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 11,
            "axes.labelsize": 10,
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "image.cmap": "gray",
            "legend.frameon": False,
            "legend.fontsize": 9,
            "lines.linewidth": 1.6,
        }
    )


def tile(images: torch.Tensor, columns: int | None = None, gap: int = 1) -> np.ndarray:
    """Lay images out in one array.

    Args:
        images: (N, C, H, W) or (N, H, W) in [-1, 1]; C is 1 or 3.
        columns: images per row; about the square root of N unless given.
        gap: white pixels between images.

    Returns:
        (H', W') or (H', W', 3) in [0, 1].
    """
    x = images.detach().float().cpu()
    if x.dim() == 3:
        x = x[:, None]
    n, c, h, w = x.shape
    columns = min(n, columns or max(1, int(np.ceil(np.sqrt(n)))))
    rows = -(-n // columns)
    sheet = torch.ones(c, rows * (h + gap) - gap, columns * (w + gap) - gap)
    for k in range(n):
        top, left = (k // columns) * (h + gap), (k % columns) * (w + gap)
        sheet[:, top : top + h, left : left + w] = (x[k].clamp(-1, 1) + 1) / 2
    return sheet[0].numpy() if c == 1 else sheet.permute(1, 2, 0).numpy()


def image_grid(
    images: torch.Tensor, *, columns: int | None = None, title: str = "", ax: Axes | None = None, scale: float = 0.55
) -> Axes:
    """Draw images (N, C, H, W) or (N, H, W) in [-1, 1] as one grid; `scale` is inches per image."""
    sheet = tile(images, columns)
    if ax is None:
        per_row = min(len(images), columns or max(1, int(np.ceil(np.sqrt(len(images))))))
        rows = -(-len(images) // per_row)
        _, ax = plt.subplots(figsize=(max(2.0, scale * per_row), max(1.0, scale * rows) + (0.3 if title else 0)))
    ax.imshow(sheet, cmap="gray" if sheet.ndim == 2 else None, vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    ax.set_title(title)
    return ax


def labelled_grid(
    images: torch.Tensor,
    across: Sequence[str],
    down: Sequence[str] = ("",),
    *,
    captions: Sequence[str] = (),
    title: str = "",
    inches: float = 1.2,
) -> Axes:
    """Draw images (R·C, …) in [-1, 1] as R rows of C: names above the columns and beside the rows, captions inside.

    Args:
        across: C names; a name may have several lines.
        down: R names.
        captions: for the first images, row by row.
        inches: the height of one image.

    Raises:
        CourseError: there are not R·C images.
    """
    if len(images) != len(across) * len(down):
        raise CourseError(
            f"{len(down)} rows of {len(across)} need {len(across) * len(down)} images, not {len(images)}."
        )
    height, width = (side + 1 for side in images.shape[-2:])
    lines = 1 + max(name.count("\n") for name in across)
    _, ax = plt.subplots(
        figsize=(
            inches * len(across) * width / height + 0.085 * max(map(len, down)),
            inches * len(down) + 0.17 * lines + 0.45 * bool(title),
        )
    )
    image_grid(images, columns=len(across), ax=ax)
    for j, name in enumerate(across):
        ax.text((j + 0.5) * width - 1, -0.05 * height - 0.5, name, ha="center", va="bottom", fontsize=9)
    for i, name in enumerate(down):
        ax.text(-0.08 * width, (i + 0.5) * height - 1, name, ha="right", va="center", fontsize=9)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
    for k, caption in enumerate(captions):
        x, y = (k % len(across) + 0.5) * width - 1, (k // len(across) + 0.97) * height - 1.5
        ax.text(x, y, caption, ha="center", va="bottom", fontsize=8, bbox=box)
    if title:
        ax.figure.suptitle(title, fontsize=11)
    return ax


def curves(
    series: Mapping[str, Sequence[float]],
    *,
    x: Sequence[float] | None = None,
    xlabel: str = "step",
    ylabel: str = "",
    title: str = "",
    logy: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw each named series over `x`. A series called "step" (as `fit` returns) is taken as `x`."""
    series = dict(series)
    x = series.pop("step", None) if x is None else x
    if ax is None:
        _, ax = plt.subplots(figsize=(5.2, 3.0))
    for label, values in series.items():
        ax.plot(range(len(values)) if x is None else x, values, label=label)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if logy:
        ax.set_yscale("log")
    if len(series) > 1:
        ax.legend()
    return ax


def points(
    real: torch.Tensor | None = None,
    fake: torch.Tensor | None = None,
    *,
    title: str = "",
    limit: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Scatter 2-D data (N, 2): real in blue, samples in orange, on equal axes within ±limit."""
    if ax is None:
        _, ax = plt.subplots(figsize=(3.4, 3.4))
    for cloud, colour, label in ((real, REAL, "data"), (fake, FAKE, "samples")):
        if cloud is not None:
            xy = cloud.detach().float().cpu().numpy()
            ax.scatter(xy[:, 0], xy[:, 1], s=5, alpha=0.45, color=colour, linewidths=0, label=label)
    if limit is not None:
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit))
    ax.set_aspect("equal")
    ax.set_title(title)
    return ax


class Board:
    """Curves and samples of a running training, redrawn in place.

        board = Board()
        for i, metrics in iterate(...):
            board.update(i, metrics, images=gan.sample(64))
        board.show()

    `update` redraws at most once every `seconds`; `show` draws the final state. Without a person watching
    (COURSE_HEADLESS) only `show` draws.
    """

    def __init__(self, *, seconds: float = 2.0, logy: bool = False) -> None:
        self.seconds, self.logy = seconds, logy
        self.steps: list[int] = []
        self.series: dict[str, list[float]] = {}
        self.picture: dict[str, Any] = {}
        self._drawn = -np.inf
        self._handle: Any = None
        self._live = not os.environ.get("COURSE_HEADLESS")

    def update(
        self,
        step: int,
        metrics: Mapping[str, float],
        *,
        images: torch.Tensor | None = None,
        real: torch.Tensor | None = None,
        fake: torch.Tensor | None = None,
    ) -> None:
        """Add a report: metrics (numbers by name), and images (N, C, H, W) or two point clouds (N, 2)."""
        self.steps.append(step)
        for key, value in metrics.items():
            self.series.setdefault(key, []).append(value)
        self.picture = {"images": images, "real": real, "fake": fake}
        if self._live and time.monotonic() - self._drawn > self.seconds:
            self._display(self.draw())
            self._drawn = time.monotonic()

    def draw(self) -> Figure:
        """The board as a figure."""
        images, real, fake = (self.picture.get(key) for key in ("images", "real", "fake"))
        panels = 1 + (images is not None) + (real is not None or fake is not None)
        figure, axes = plt.subplots(1, panels, figsize=(4.4 + 3.4 * (panels - 1), 3.2), squeeze=False)
        curves(self.series, x=self.steps, ylabel="mean since the last report", logy=self.logy, ax=axes[0, 0])
        at = f"step {self.steps[-1]}" if self.steps else ""
        if images is not None:
            image_grid(images, ax=axes[0, 1], title=f"samples, {at}")
        if real is not None or fake is not None:
            points(real, fake, ax=axes[0, -1], title=at)
            axes[0, -1].legend(markerscale=3, loc="upper right")
        return figure

    def show(self) -> None:
        """Draw the final state, once."""
        self._display(self.draw())

    def _display(self, figure: Figure) -> None:
        if in_notebook():
            from IPython.display import display

            if self._handle is None:
                self._handle = display(figure, display_id=True)
            else:
                self._handle.update(figure)
        plt.close(figure)
