"""Races of optimizers as films: several paths over the contours of one surface, to be played in a page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.animation import FuncAnimation
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from course_lib.draw import COLOURS
from course_lib.errors import CourseError

MARKERS = "osD^vPX"  # paths are told apart by their heads too, not by colour alone
BUTTONS = {  # matplotlib's player takes its symbols from a font on the net; these every font has
    "fa fa-minus": "−",
    "fa fa-fast-backward": "|«",
    "fa fa-step-backward": "‹",
    "fa fa-play fa-flip-horizontal": "◂",
    "fa fa-pause": "||",
    "fa fa-play": "▸",
    "fa fa-step-forward": "›",
    "fa fa-fast-forward": "»|",
    "fa fa-plus": "+",
}


def contours(surface: Any, *, ax: Axes | None = None, levels: int = 14, points: int = 161) -> Axes:
    """Draw the level lines of a surface in its window, with its minima (stars) and saddle points (crosses).

    The levels lie closer where the surface is flat: they are equal steps of log(1 + E − the least E in the window),
    or of E itself where it has no minimum.

    Args:
        surface: of `course_lib.scratch.surfaces`, or whatever has its name, window, minima and saddles.
        ax: where to draw; a new figure unless given.
        levels: how many lines.
        points: of the grid along each side.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(4.4, 3.6))
    left, right, bottom, top = surface.window
    x, y = torch.linspace(left, right, points).double(), torch.linspace(bottom, top, points).double()
    energy = surface(torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)).numpy()  # (points, points), y first
    if surface.minima:
        height = np.log1p(energy - energy.min())
        heights = np.linspace(height.min(), height.max(), levels + 2)[1:-1]
        at = np.expm1(heights) + energy.min()
    else:
        at = np.linspace(energy.min(), energy.max(), levels + 2)[1:-1]
    ax.contour(x.numpy(), y.numpy(), energy, levels=at, colors="0.78", linewidths=0.7, linestyles="solid")
    for places, marker, name in ((surface.minima, "*", "minimum"), (surface.saddles, "x", "saddle point")):
        if places:
            xs, ys = zip(*places, strict=True)
            ax.scatter(xs, ys, marker=marker, s=70, color="0.35", linewidths=1.2, zorder=2, label=name)
    ax.set(xlim=(left, right), ylim=(bottom, top), xlabel="x", ylabel="y", title=surface.name)
    return ax


def race(
    surface: Any,
    paths: Mapping[str, Tensor],
    *,
    frames: int = 60,
    interval: float = 80.0,
    tail: int | None = None,
    size: tuple[float, float] = (5.6, 3.6),
) -> Film:
    """A film of several paths over the contours of a surface; each frame shows the same number of steps of all.

        race(beale, {"SGD": descend(...), "Adam": descend(...)})

    As the last line of a cell it plays in the notebook, and in the executed HTML.

    A path that leaves the window, or that becomes inf or NaN, goes to the edge and is not seen again.

    Args:
        surface: see `contours`.
        paths: name → (steps + 1, 2). A shorter one waits at its end.
        frames: of the film, at least 2; the first shows the start and the last the end, with the steps between spread
            evenly. A film of fewer steps has fewer frames.
        interval: milliseconds from one frame to the next.
        tail: draw only so many of the last steps of each path; all of them unless given.
        size: of the figure, in inches.

    Raises:
        CourseError: no path, one that is not (steps + 1, 2), or fewer than 2 frames.
    """
    tracks = {name: _track(name, path) for name, path in paths.items()}
    if not tracks or frames < 2:
        raise CourseError("A race needs at least one path and two frames; give it {name: path} and frames=60.")
    steps = max(len(track) for track in tracks.values()) - 1
    shown = np.unique(np.linspace(0, steps, min(frames, steps + 1)).round().astype(int))

    figure, ax = plt.subplots(figsize=size, dpi=90)
    contours(surface, ax=ax)
    lines, heads = {}, {}
    for k, name in enumerate(tracks):
        colour = COLOURS[k % len(COLOURS)]
        (lines[name],) = ax.plot([], [], color=colour, linewidth=1.6, zorder=3)
        (heads[name],) = ax.plot(
            [], [], color=colour, marker=MARKERS[k % len(MARKERS)], markersize=7, linestyle="none", label=name, zorder=4
        )
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    clock = ax.text(0.02, 0.98, "", transform=ax.transAxes, va="top", bbox={"color": "white", "alpha": 0.8, "pad": 1.5})

    def draw(step: int) -> list[Any]:
        for name, track in tracks.items():
            now = min(step, len(track) - 1)
            first = 0 if tail is None else max(0, now - tail)
            lines[name].set_data(*track[first : now + 1].T)
            heads[name].set_data(*track[now : now + 1].T)
        clock.set_text(f"step {step}")
        return [*lines.values(), *heads.values(), clock]

    moving = draw(int(shown[-1]))
    figure.draw_without_rendering()  # lays the figure out once, and not again for every frame
    figure.set_layout_engine("none")
    film = Film(figure, draw, moving, frames=[int(step) for step in shown], interval=interval, blit=False)
    plt.close(figure)  # else a notebook shows the last frame below the film
    return film


class Film(FuncAnimation):
    """An animation that plays in a page, small and without the net: the last line of a cell, or `display(film)`.

    `to_jshtml` is matplotlib's player with three changes. What stands still (contours, axes, legend) is in the page
    once, and every frame holds only what moves, on white; the page multiplies the two. Frames are WebP without loss,
    half the size of PNG. And the buttons' symbols are letters, not a font from the net. Everything else, such as
    `save`, is as in `FuncAnimation`.

    Args:
        figure, draw: as for `FuncAnimation`; `draw` returns what moves.
        moving: all that moves, artists of the one axes of `figure`.
        more: passed on to `FuncAnimation`.
    """

    def __init__(self, figure: Figure, draw: Callable[[int], Any], moving: Sequence[Artist], **more: Any) -> None:
        super().__init__(figure, draw, **more)
        self.figure, self.moving = figure, list(moving)

    def to_jshtml(self, *args: Any, **options: Any) -> str:
        """The film as HTML with its frames and its script inside; the arguments are matplotlib's."""
        (ax,) = self.figure.axes
        still = [artist for artist in ax.get_children() if artist not in self.moving and artist.get_visible()]
        with _hidden(still):
            html = super().to_jshtml(*args, **options)
        # only now, because a film may make its figure a pixel smaller
        with _hidden(self.moving), io.BytesIO() as file:
            self.figure.savefig(file, format="png", dpi=self.figure.dpi)
            background = base64.b64encode(file.getvalue()).decode()
        html = re.sub(r"data:image/png;base64,([^\"]*)", lambda found: _smaller(found[1]), html)
        html = re.sub(r'<link[^>]*href="https?://[^"]*"[^>]*>', "", html)
        html = re.sub(r'<i class="(fa [^"]*)"></i>', lambda found: BUTTONS.get(found[1], "·"), html)
        layer = f"display:inline-block;background:url(data:image/png;base64,{background}) 0 0/100% 100%"
        return re.sub(
            r'<img id="(_anim_img[^"]*)">',
            rf'<div style="{layer}"><img id="\1" style="display:block;mix-blend-mode:multiply"></div>',
            html,
        )

    def _repr_html_(self) -> str:
        return self.to_jshtml(default_mode="once")


def _smaller(png: str) -> str:
    """A picture in base64, as matplotlib breaks it into lines, as a data address of the same pixels in WebP."""
    pixels = plt.imread(io.BytesIO(base64.b64decode(png.replace("\\\n", ""))))
    with io.BytesIO() as file:
        # method 1 takes a third of the default's time, for files of the same size (measured on drawn lines)
        plt.imsave(file, pixels[..., :3], format="webp", pil_kwargs={"lossless": True, "method": 1, "quality": 50})
        return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


@contextmanager
def _hidden(artists: Sequence[Artist]) -> Iterator[None]:
    for artist in artists:
        artist.set_visible(False)
    try:
        yield
    finally:
        for artist in artists:
            artist.set_visible(True)


def _track(name: str, path: Tensor) -> np.ndarray:
    """A path as an array, cut where it stops being finite, with what is far away brought within drawing."""
    if path.dim() != 2 or path.shape[1] != 2 or not len(path):
        raise CourseError(f"The path of {name} must be (steps + 1, 2), not {tuple(path.shape)}.")
    track = path.detach().double().cpu().numpy().copy()
    track[~np.isfinite(track).all(axis=1)] = np.nan
    return np.where(np.abs(track) > 1e6, np.nan, track)
