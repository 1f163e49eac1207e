"""The pictures of the lecture on layers. Values that go forward are blue, derivatives that come back orange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

from course_lib.draw import COLOURS
from course_lib.scratch.images import output_size, pad

FORWARD, BACKWARD, THIRD = COLOURS[0], COLOURS[1], COLOURS[2]


def _blank(size: tuple[float, float], xlim: tuple[float, float], ylim: tuple[float, float]) -> Axes:
    _, ax = plt.subplots(figsize=size)
    ax.set(xlim=xlim, ylim=ylim, aspect="equal")
    ax.set_axis_off()
    return ax


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, **style: Any) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 13, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0, **style}
    ax.add_patch(FancyArrowPatch(start, end, color=colour, **style))


def chain_graph(x1: float, x2: float) -> None:
    """The computation graph of y = (x1·x2, x1 + x2), z = y1·y2: values above the nodes, derivatives of z below."""
    y1, y2 = x1 * x2, x1 + x2
    nodes = {
        "x₁": ((0, 2), x1, x2 * y2 + y1),
        "x₂": ((0, 0), x2, x1 * y2 + y1),
        "y₁ = x₁·x₂": ((4, 2), y1, y2),
        "y₂ = x₁+x₂": ((4, 0), y2, y1),
        "z = y₁·y₂": ((8, 1), y1 * y2, 1.0),
    }
    ax = _blank((8.6, 3.9), (-1.2, 9.6), (-1.1, 3.6))
    edges = [
        ("x₁", "y₁ = x₁·x₂", x2, 0.5),
        ("x₁", "y₂ = x₁+x₂", 1, 0.25),
        ("x₂", "y₁ = x₁·x₂", x1, 0.25),
        ("x₂", "y₂ = x₁+x₂", 1, 0.5),
        ("y₁ = x₁·x₂", "z = y₁·y₂", y2, 0.5),
        ("y₂ = x₁+x₂", "z = y₁·y₂", y1, 0.5),
    ]
    for source, target, slope, at in edges:
        a, b = np.array(nodes[source][0], float), np.array(nodes[target][0], float)
        unit = (b - a) / np.linalg.norm(b - a)
        _arrow(ax, tuple(a + 0.52 * unit), tuple(b - 0.58 * unit), "#999999", zorder=1)
        middle = a + (0.52 + at * (np.linalg.norm(b - a) - 1.1)) * unit
        ax.text(*middle, f"{slope:g}", ha="center", va="center", fontsize=10, color="#444444",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
    for name, (place, value, slope) in nodes.items():
        ax.add_patch(Circle(place, 0.5, facecolor="white", edgecolor="black", zorder=2))
        ax.text(*place, name.split(" ")[0], ha="center", va="center", fontsize=13, zorder=3)
        if "=" in name:
            ax.text(place[0] + 0.62, place[1], name.split("= ")[1], ha="left", va="center", fontsize=10, zorder=3,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})  # fmt: skip
        ax.text(place[0], place[1] + 0.62, f"{value:g}", ha="center", va="bottom", color=FORWARD, fontsize=12)
        ax.text(place[0], place[1] - 0.62, f"{slope:g}", ha="center", va="top", color=BACKWARD, fontsize=12)
    ax.text(-1.1, 3.55, "value", color=FORWARD, fontsize=11, va="top")
    ax.text(0.0, 3.55, "derivative of z", color=BACKWARD, fontsize=11, va="top")
    ax.text(2.6, 3.55, "on each arrow: how much its head moves when its tail moves by one", color="#444444",
            fontsize=10, va="top")  # fmt: skip


def layer_box() -> None:
    """The contract of a layer: what goes in and out, forward and backward."""
    ax = _blank((7.6, 3.0), (0, 10), (-0.2, 3.8))
    ax.add_patch(FancyBboxPatch((3.2, 0.9), 3.6, 2.0, boxstyle="round,pad=0.05", facecolor="#f4f4f4", edgecolor="k"))
    ax.text(5, 2.38, "y = f(x; w)", ha="center", va="center", fontsize=13, color=FORWARD)
    ax.text(5, 1.42, "keeps what backward needs", ha="center", va="center", fontsize=10, color="#444444")
    _arrow(ax, (1.2, 2.4), (3.1, 2.4), FORWARD)
    _arrow(ax, (6.9, 2.4), (8.8, 2.4), FORWARD)
    _arrow(ax, (8.8, 1.4), (6.9, 1.4), BACKWARD)
    _arrow(ax, (3.1, 1.4), (1.2, 1.4), BACKWARD)
    _arrow(ax, (4.5, 3.7), (4.5, 3.0), FORWARD)
    _arrow(ax, (5.5, 0.8), (5.5, 0.1), BACKWARD)
    ax.text(1.0, 2.4, "x", ha="right", va="center", fontsize=14, color=FORWARD)
    ax.text(9.0, 2.4, "y", ha="left", va="center", fontsize=14, color=FORWARD)
    ax.text(1.0, 1.4, "dz/dx", ha="right", va="center", fontsize=14, color=BACKWARD)
    ax.text(9.0, 1.4, "dz/dy", ha="left", va="center", fontsize=14, color=BACKWARD)
    ax.text(4.3, 3.45, "w", ha="right", va="center", fontsize=14, color=FORWARD)
    ax.text(5.7, 0.3, "dz/dw, for update", ha="left", va="center", fontsize=13, color=BACKWARD)


def layer_chain() -> None:
    """Three layers and a loss in a row: forward along the top, backward along the bottom."""
    ax = _blank((9.4, 2.9), (-0.4, 13.4), (-0.6, 3.4))
    for k in range(4):
        left = 1.3 + 3.05 * k
        name, colour = (f"f{'₁₂₃'[k]}", "#f4f4f4") if k < 3 else ("loss", "#fdf3e7")
        ax.add_patch(FancyBboxPatch((left, 0.9), 1.5, 1.7, boxstyle="round,pad=0.05", facecolor=colour, edgecolor="k"))
        ax.text(left + 0.75, 1.75, name, ha="center", va="center", fontsize=14)
        _arrow(ax, (left - 1.35, 2.25), (left - 0.1, 2.25), FORWARD)
        _arrow(ax, (left - 0.1, 1.2), (left - 1.35, 1.2), BACKWARD)
        ax.text(left - 0.72, 2.4, f"x{'⁰¹²³'[k]}", ha="center", va="bottom", fontsize=13, color=FORWARD)
        ax.text(left - 0.72, 1.05, f"dz/dx{'⁰¹²³'[k]}", ha="center", va="top", fontsize=11, color=BACKWARD)
        if k < 3:
            _arrow(ax, (left + 0.75, 0.8), (left + 0.75, 0.1), BACKWARD)
            ax.text(left + 0.75, 0.02, f"dz/dw{'₁₂₃'[k]}", ha="center", va="top", fontsize=11, color=BACKWARD)
    _arrow(ax, (12.05, 2.25), (12.9, 2.25), FORWARD)
    _arrow(ax, (12.9, 1.2), (12.05, 1.2), BACKWARD)
    ax.text(13.0, 2.25, "z", ha="left", va="center", fontsize=14, color=FORWARD)
    ax.text(13.0, 1.2, "1", ha="left", va="center", fontsize=14, color=BACKWARD)


def numbers(ax: Axes, array: np.ndarray, *, title: str = "", form: str = "{:g}", cmap: str = "Blues") -> None:
    """A small matrix as coloured cells with its numbers in them."""
    top = float(np.nanmax(np.abs(array))) or 1.0
    ax.imshow(array, cmap=cmap, vmin=0, vmax=1.6 * top)
    for (i, j), value in np.ndenumerate(array):
        if np.isfinite(value):
            ax.text(j, i, form.format(value), ha="center", va="center", fontsize=9)
    ax.set_xticks(np.arange(-0.5, array.shape[1]), minor=True)
    ax.set_yticks(np.arange(-0.5, array.shape[0]), minor=True)
    ax.grid(which="minor", color="white", linewidth=1.2)
    ax.tick_params(which="both", left=False, bottom=False, labelleft=False, labelbottom=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_title(title)


def convolution(image: np.ndarray, kernel: np.ndarray, *, stride: int, padding: int, position: int) -> None:
    """A window on an image (H, W), the kernel (k, k) it is multiplied by, and the output cell that gets the sum.

    position: the number of the window, row by row; taken modulo how many there are.
    """
    padded = pad(image[None, None], (padding, padding))[0, 0]
    k = kernel.shape[0]
    rows, columns = (output_size(size, k, stride, padding) for size in image.shape)
    output = np.array(
        [
            [np.sum(padded[i * stride : i * stride + k, j * stride : j * stride + k] * kernel) for j in range(columns)]
            for i in range(rows)
        ]
    )
    i, j = divmod(position % (rows * columns), columns)
    _, axes = plt.subplots(1, 3, figsize=(9.6, 3.5), width_ratios=[1.25, 0.8, 1.1])
    shown = np.pad(image, padding, constant_values=np.nan)
    axes[0].set_facecolor("#e8eef6")
    axes[0].imshow(shown, cmap="gray", vmin=-1, vmax=1)
    axes[0].add_patch(
        Rectangle((j * stride - 0.5, i * stride - 0.5), k, k, fill=False, edgecolor=BACKWARD, linewidth=3)
    )
    axes[0].set_title(f"input {image.shape[0]}×{image.shape[1]}, padding {padding} (pale blue: zeros)")
    limit = float(np.abs(kernel).max()) or 1.0
    axes[1].imshow(kernel, cmap="RdBu_r", vmin=-2 * limit, vmax=2 * limit)
    for (a, b), weight in np.ndenumerate(kernel):
        axes[1].text(b, a, f"{weight:.2g}", ha="center", va="center", fontsize=10)
    axes[1].set_title(f"kernel {k}×{k}, stride {stride}")
    limit = float(np.abs(output).max()) or 1.0
    axes[2].imshow(output, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes[2].add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=BACKWARD, linewidth=3))
    axes[2].set_title(f"output {rows}×{columns}; marked: {output[i, j]:.2f}")
    for ax in axes:
        ax.set(xticks=[], yticks=[])
        ax.spines[["left", "bottom"]].set_visible(False)


def maps(images: np.ndarray, *, title: str, ax: Axes, columns: int) -> None:
    """Feature maps (C, H, W) or filters side by side; red positive, blue negative, white zero, one scale."""
    c, h, w = images.shape
    rows = -(-c // columns)
    sheet = np.full((rows * (h + 1) - 1, columns * (w + 1) - 1), np.nan)
    for k in range(c):
        top, left = (k // columns) * (h + 1), (k % columns) * (w + 1)
        sheet[top : top + h, left : left + w] = images[k]
    limit = float(np.abs(images).max()) or 1.0
    cmap = plt.get_cmap("RdBu_r").with_extremes(bad="#dddddd")
    ax.imshow(sheet, cmap=cmap, vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set(xticks=[], yticks=[], title=title)
    for spine in ax.spines.values():
        spine.set_visible(False)


def bars(
    values: Mapping[str, Sequence[float] | float],
    *,
    xlabel: str,
    title: str,
    bound: float | None = None,
    left: float = 0.0,
) -> None:
    """One horizontal bar for each name, its number at the end; `bound` is a dashed line."""
    names = list(values)
    means = [float(np.mean(values[name])) for name in names]
    _, ax = plt.subplots(figsize=(7.6, 0.42 * len(names) + 1.1))
    ax.barh(names, means, color=[FORWARD] + [COLOURS[5]] * (len(names) - 1), height=0.62)
    for k, mean in enumerate(means):
        ax.annotate(f"{mean:.3f}", (max(mean, left), k), (4, 0), textcoords="offset points", va="center", fontsize=9,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.3})  # fmt: skip
    if bound is not None:
        ax.axvline(bound, color=BACKWARD, linestyle="--", linewidth=1.3, zorder=0, label=f"bound {bound:g}")
        ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0))
    ax.invert_yaxis()
    ax.set(xlim=(left, max(means) + 0.12 * (max(means) - left)), xlabel=xlabel)
    ax.set_title(title, loc="left")


def errors_table(
    errors: Mapping[str, Sequence[float]], columns: Sequence[str], *, tolerance: float, title: str
) -> None:
    """Relative errors of gradient checks, one row a layer: orange is caught (above the tolerance), blue gets through.

    An infinite error is a broken contract, written "contract".
    """
    table = np.array([np.minimum(row, 1.0) for row in errors.values()], float)
    table = np.maximum(table, 1e-14)
    _, ax = plt.subplots(figsize=(7.4, 0.3 * len(errors) + 1.0))
    caught = table > tolerance
    ax.imshow(caught, cmap=ListedColormap(["#cfe2f0", "#f6c9a4"]), vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(table):
        raw = list(errors.values())[i][j]
        ax.text(j, i, "contract" if np.isinf(raw) else f"{value:.0e}", ha="center", va="center", fontsize=9)
    ax.set_yticks(range(len(errors)), list(errors))
    ax.set_xticks(range(len(columns)), columns)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_xticks([0.5], minor=True)
    ax.grid(which="minor", color="white", linewidth=3)
    ax.tick_params(which="minor", length=0)
    ax.set_title(title)


def matrix_of_convolution(matrix: np.ndarray, side: int) -> None:
    """The matrix M (outputs, inputs) of a convolution of a side × side image, and its transpose."""
    _, axes = plt.subplots(1, 2, figsize=(9.2, 4.2), width_ratios=[matrix.shape[1], matrix.shape[0]])
    limit = float(np.abs(matrix).max())
    for ax, array, title, xlabel, ylabel, colour in (
        (axes[0], matrix, "forward: y = M x", "input pixel", "output cell", FORWARD),
        (axes[1], matrix.T, "backward: dz/dx = Mᵀ dz/dy", "output cell", "input pixel", BACKWARD),
    ):
        ax.imshow(np.where(array == 0, np.nan, array), cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
        ax.title.set_color(colour)
        for name in ("top", "right"):
            ax.spines[name].set_visible(True)
