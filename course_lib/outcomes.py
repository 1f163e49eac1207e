"""Learning outcomes: a measured number with the bound it must meet.

A notebook records; `course run` reads the records from the executed notebook and fails where a bound is missed.
"""

from __future__ import annotations

import html
import math
from dataclasses import asdict, dataclass
from typing import Any

from course_lib.errors import CourseError
from course_lib.jupyter import in_notebook

MIME = "application/vnd.course-lib.outcome+json"


@dataclass(frozen=True)
class Outcome:
    """A number, the bound it must meet, and whether it does. A NaN meets no bound."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        return (
            not math.isnan(self.value)
            and (self.at_least is None or self.value >= self.at_least)
            and (self.at_most is None or self.value <= self.at_most)
        )

    @property
    def bound(self) -> str:
        """The bound in words: "at least 0.95"."""
        parts = [f"at least {self.at_least:g}"] if self.at_least is not None else []
        parts += [f"at most {self.at_most:g}"] if self.at_most is not None else []
        return " and ".join(parts)

    def _ipython_display_(self) -> None:
        """Nothing: `record` has shown it, and the last line of a cell would show it again."""

    def __str__(self) -> str:
        return f"{'✓' if self.met else '✗ MISSED'} {self.name}: {self.value:.4g} ({self.bound})"


def record(name: str, value: Any, *, at_least: float | None = None, at_most: float | None = None) -> Outcome:
    """Show a measured number with its bound, and leave it in the notebook for `course run` to find.

    Args:
        name: what was measured, unique in the notebook.
        value: a number or a one-element tensor.
        at_least, at_most: the bound; at least one of the two.

    Returns:
        The outcome. A missed bound does not raise: the reader sees a red line, and CI fails.
    """
    if at_least is None and at_most is None:
        raise CourseError(f"The outcome {name!r} needs a bound: give at_least=, at_most= or both.")
    outcome = Outcome(name, float(value), at_least, at_most)
    colour = "#1a7f37" if outcome.met else "#cf222e"
    data = {
        MIME: {**asdict(outcome), "value": repr(outcome.value), "met": outcome.met},
        "text/plain": str(outcome),
        "text/html": f'<span style="color:{colour};font-family:monospace">{html.escape(str(outcome))}</span>',
    }
    if in_notebook():
        from IPython.display import display

        display(data, raw=True)
    else:
        print(outcome)
    return outcome


def recorded_in(notebook: Any) -> list[Outcome]:
    """The outcomes in the outputs of an executed notebook (a `nbformat` node or its plain dict)."""
    found = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            data = output.get("data", {}).get(MIME)
            if data:
                found.append(Outcome(data["name"], float(data["value"]), data["at_least"], data["at_most"]))
    return found
