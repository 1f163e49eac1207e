"""Explorers: a drawing function with sliders, under ipywidgets 7 and 8, and headless in CI.

    explore(draw_field, radius=slider(0.1, 2.0, 1.0), players=choice("simultaneous", "alternating"))

`draw_field(radius, players)` draws with matplotlib and returns nothing. With a person watching, controls redraw it;
under COURSE_HEADLESS, or where ipywidgets is missing, it is drawn once as a picture, and headless also tries the ends
of every control, so that an exception anywhere fails the run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt

from course_lib.errors import CourseError
from course_lib.jupyter import in_notebook


@dataclass(frozen=True)
class Control:
    """A control without a widget: what it can be, and where it starts."""

    kind: str  # "slider" or "choice"
    start: Any
    low: float = 0.0
    high: float = 0.0
    step: float = 0.0
    options: tuple[Any, ...] = ()
    label: str = ""

    @property
    def extremes(self) -> tuple[Any, ...]:
        """The values worth trying without a person: both ends, or every option."""
        return self.options if self.kind == "choice" else (self.low, self.high)


def slider(low: float, high: float, start: float, *, step: float | None = None, label: str = "") -> Control:
    """A number from `low` to `high`; whole numbers when all of low, high and step are."""
    if not low <= start <= high:
        raise CourseError(f"A slider from {low} to {high} cannot start at {start}.")
    if step is None:
        step = 1 if all(isinstance(v, int) for v in (low, high, start)) else (high - low) / 100
    return Control("slider", start, low, high, step, label=label)


def choice(*options: Any, start: Any = None, label: str = "") -> Control:
    """One of `options`, the first unless `start` says otherwise."""
    if not options:
        raise CourseError("A choice needs at least one option.")
    return Control("choice", options[0] if start is None else start, options=options, label=label)


def explore(draw: Callable[..., None], **controls: Control) -> None:
    """Show `draw(**values)` with its controls; headless, an exception in `draw` is raised, else shown in place."""
    start = {name: control.start for name, control in controls.items()}
    headless = bool(os.environ.get("COURSE_HEADLESS"))
    if not headless:
        try:
            import ipywidgets
        except ImportError:
            print("ipywidgets is not installed, so this explorer is a still picture: pip install ipywidgets")
        else:
            if in_notebook():
                _interactive(ipywidgets, draw, controls)
                return
    draw(**start)
    plt.show()
    if headless:
        for name, control in controls.items():
            for value in control.extremes:
                draw(**{**start, name: value})
                plt.close("all")


def _interactive(ipywidgets: Any, draw: Callable[..., None], controls: dict[str, Control]) -> None:
    from IPython.display import display

    widgets = {name: _widget(ipywidgets, name, control) for name, control in controls.items()}

    def redraw(**values: Any) -> None:
        draw(**values)
        plt.show()

    output = ipywidgets.interactive_output(redraw, widgets)
    display(ipywidgets.VBox([ipywidgets.HBox(list(widgets.values()), layout={"flex_flow": "row wrap"}), output]))


def _widget(ipywidgets: Any, name: str, control: Control) -> Any:
    style = {"description": control.label or name.replace("_", " "), "style": {"description_width": "initial"}}
    if control.kind == "choice":
        return ipywidgets.Dropdown(options=list(control.options), value=control.start, **style)
    whole = all(isinstance(v, int) for v in (control.low, control.high, control.step, control.start))
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    # continuous_update off: one redraw when the handle is let go, not a queue of them
    return kind(
        value=control.start, min=control.low, max=control.high, step=control.step, continuous_update=False, **style
    )
