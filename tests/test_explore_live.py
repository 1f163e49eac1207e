"""Explorers as a person meets them: in a kernel, with widgets, under whichever ipywidgets is installed."""

from __future__ import annotations

import shutil
import tempfile

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

from course_lib.authoring.worker import use_this_python

SETUP = """
import os
del os.environ["COURSE_HEADLESS"]
import ipywidgets
import matplotlib.pyplot as plt
from course_lib.explore import choice, explore, slider

seen = []

def draw(radius, players, count):
    seen.append((radius, players, count))
    plt.figure(figsize=(1, 1))
    plt.plot([radius])
    if count == 9:
        raise ValueError("drawn too often")
"""
EXPLORE = 'explore(draw, radius=slider(0.0, 2.0, 1.0), players=choice("a", "b"), count=slider(1, 9, 3))'
MOVE = """
known = getattr(ipywidgets.Widget, "widgets", None) or ipywidgets.widgets.widget._instances
control = {widget.description: widget for widget in known.values() if hasattr(widget, "description")}
control["radius"].value = 0.5
control["players"].value = "b"
control["count"].value = 9
print(seen, ipywidgets.__version__)
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The three cells after a kernel has run them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("JUPYTER_PATH", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            patch.setenv(name, "")  # so that they are put back
        patch.delenv("MPLBACKEND")
        use_this_python(tmp_path_factory.mktemp("kernels"))
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (SETUP, EXPLORE, MOVE)])
        sockets = tempfile.mkdtemp(prefix="kernel-")
        config = Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/at"})  # no port that another test may take
        NotebookClient(notebook, kernel_name="python3", timeout=120, config=config).execute()
        shutil.rmtree(sockets, ignore_errors=True)
    return notebook.cells


def printed(cell) -> str:
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout")


def test_an_explorer_is_made_of_widgets_and_draws_at_once(cells):
    shown = [output for output in cells[1].outputs if output.output_type == "display_data"]
    assert "application/vnd.jupyter.widget-view+json" in shown[-1].data
    assert printed(cells[2]).startswith("[(1.0, 'a', 3),")


def test_every_control_redraws_with_the_values_of_all(cells):
    assert printed(cells[2]).startswith("[(1.0, 'a', 3), (0.5, 'a', 3), (0.5, 'b', 3), (0.5, 'b', 9)]")


def test_an_exception_is_shown_in_place_and_stops_nothing(cells):
    assert cells[2].execution_count == 3
    assert not [output for output in cells[2].outputs if output.output_type == "error"]
