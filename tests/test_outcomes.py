"""Outcomes: met or missed, and found again in an executed notebook."""

import nbformat
import pytest
import torch

from course_lib.errors import CourseError
from course_lib.outcomes import MIME, Outcome, record, recorded_in


@pytest.mark.parametrize(
    ("value", "bounds", "met"),
    [
        (0.5, {"at_least": 0.5}, True),
        (0.49, {"at_least": 0.5}, False),
        (0.5, {"at_most": 0.5}, True),
        (0.51, {"at_most": 0.5}, False),
        (0.5, {"at_least": 0.4, "at_most": 0.6}, True),
        (0.7, {"at_least": 0.4, "at_most": 0.6}, False),
        (float("nan"), {"at_least": 0.0}, False),
        (float("nan"), {"at_most": 0.0}, False),
    ],
)
def test_bounds(value, bounds, met, capsys):
    outcome = record("accuracy", torch.tensor(value), **bounds)
    assert outcome.met is met
    assert ("✓" in capsys.readouterr().out) is met


def test_an_outcome_needs_a_bound():
    with pytest.raises(CourseError, match="needs a bound"):
        record("accuracy", 1.0)


def test_what_a_notebook_recorded_is_read_back():
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    InteractiveShell.instance()
    with capture_output() as captured:
        record("gain <b>", 0.25, at_least=0.1)
        record("loss", float("nan"), at_most=1.0)
    outputs = [nbformat.v4.new_output("display_data", data=o.data) for o in captured.outputs]
    assert "&lt;b&gt;" in outputs[0]["data"]["text/html"]
    cell = nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("stream", text="x"), *outputs])
    notebook = nbformat.reads(nbformat.writes(nbformat.v4.new_notebook(cells=[cell])), as_version=4)
    first, second = recorded_in(notebook)
    assert first == Outcome("gain <b>", 0.25, 0.1, None)
    assert first.met
    assert not second.met
    assert MIME in outputs[0]["data"]
    InteractiveShell.clear_instance()
