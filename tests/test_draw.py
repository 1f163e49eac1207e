"""Pictures and explorers: shapes and values that can be checked without looking."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from course_lib.draw import Board, curves, image_grid, labelled_grid, points, tile, use_style
from course_lib.errors import CourseError
from course_lib.explore import choice, explore, slider


@pytest.fixture(autouse=True)
def _close():
    use_style()
    yield
    plt.close("all")


def test_tile_places_images_row_by_row():
    images = torch.stack([torch.full((1, 2, 3), v) for v in (-1.0, 0.0, 1.0)])
    sheet = tile(images, columns=2)
    assert sheet.shape == (2 * 2 + 1, 2 * 3 + 1)
    assert (sheet[:2, :3] == 0).all()
    assert (sheet[:2, 4:] == 0.5).all()
    assert (sheet[3:, :3] == 1).all()
    assert (sheet[2] == 1).all(), "the gap is white"


def test_tile_takes_colour_and_clips():
    assert tile(torch.full((4, 3, 5, 5), 3.0)).shape == (11, 11, 3)
    assert tile(torch.full((4, 3, 5, 5), 3.0)).max() == 1
    assert tile(torch.zeros(5, 4, 4)).shape == (2 * 5 - 1, 3 * 5 - 1)


def test_curves_take_what_fit_returns():
    ax = curves({"step": [10, 20], "loss": [1.0, 0.5]}, logy=True)
    assert ax.lines[0].get_xdata().tolist() == [10, 20]
    assert ax.get_yscale() == "log"
    assert len(curves({"a": [1], "b": [2]}).get_legend().get_texts()) == 2


def test_points_and_grid_draw_on_the_axes_given():
    _, (left, right) = plt.subplots(1, 2)
    assert points(torch.randn(9, 2), torch.randn(5, 2), limit=3, ax=left) is left
    assert left.get_xlim() == (-3, 3)
    assert len(left.collections) == 2
    assert image_grid(torch.zeros(4, 1, 8, 8), ax=right, title="t") is right


def test_a_labelled_grid_puts_names_and_captions_at_their_images():
    images = torch.zeros(6, 1, 8, 16)
    ax = labelled_grid(
        images, ["a", "b", "c"], ["first", "second"], captions=["one", "two", "three", "four"], title="t"
    )
    found = {text.get_text(): text.get_position() for text in ax.texts}
    assert [found[name][0] for name in "abc"] == [7.5, 24.5, 41.5] and all(found[name][1] < 0 for name in "abc")
    assert found["second"][1] - found["first"][1] == 9 and found["first"][0] < 0
    assert found["one"][0] == found["four"][0] == 7.5 and found["four"][1] == found["one"][1] + 9
    assert ax.figure.get_suptitle() == "t"
    with pytest.raises(CourseError, match="2 rows of 3 need 6 images, not 5"):
        labelled_grid(images[:5], ["a", "b", "c"], ["first", "second"])


def test_board_keeps_every_report_and_draws_the_last_pictures():
    board = Board()
    for i in (1, 2, 3):
        board.update(i, {"loss": 1 / i}, images=torch.zeros(4, 1, 8, 8), fake=torch.randn(5, 2))
    figure = board.draw()
    assert len(figure.axes) == 3
    assert np.allclose(figure.axes[0].lines[0].get_ydata(), [1, 1 / 2, 1 / 3])
    board.show()


def test_headless_explorers_try_both_ends_of_every_control(monkeypatch):
    monkeypatch.setenv("COURSE_HEADLESS", "1")
    seen = []
    explore(lambda a, b: seen.append((a, b)), a=slider(0, 4, 1), b=choice("x", "y", start="y"))
    assert seen == [(1, "y"), (0, "y"), (4, "y"), (1, "x"), (1, "y")]


def test_an_exception_at_the_end_of_a_slider_fails_the_run(monkeypatch):
    monkeypatch.setenv("COURSE_HEADLESS", "1")
    with pytest.raises(ZeroDivisionError):
        explore(lambda x: 1 / x, x=slider(0.0, 1.0, 0.5))


def test_without_ipywidgets_an_explorer_is_a_picture_and_says_so(monkeypatch, capsys):
    monkeypatch.delenv("COURSE_HEADLESS", raising=False)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    seen = []
    explore(lambda x: seen.append(x), x=slider(0.0, 1.0, 0.5))
    assert seen == [0.5]
    assert "ipywidgets is not installed" in capsys.readouterr().out


def test_interactive_explorers_redraw_when_a_control_moves(monkeypatch):
    """Runs under ipywidgets 7 in the Colab-era job and 8 in the ordinary one."""
    ipywidgets = pytest.importorskip("ipywidgets")
    from IPython.core.interactiveshell import InteractiveShell

    from course_lib import explore as module

    monkeypatch.delenv("COURSE_HEADLESS", raising=False)
    InteractiveShell.instance()
    made = []
    original = module._widget
    monkeypatch.setattr(module, "_widget", lambda *a: made.append(original(*a)) or made[-1])
    seen = []
    explore(
        lambda n, x, word: seen.append((n, x, word)),
        n=slider(1, 9, 2, label="count"),
        x=slider(0.0, 1.0, 0.5),
        word=choice("a", "b"),
    )
    assert seen[-1] == (2, 0.5, "a")
    assert isinstance(made[0], ipywidgets.IntSlider)
    assert isinstance(made[1], ipywidgets.FloatSlider)
    assert made[0].description == "count"
    made[0].value = 7
    made[2].value = "b"
    assert seen[-1] == (7, 0.5, "b")
    InteractiveShell.clear_instance()


def test_controls_refuse_what_they_cannot_show():
    with pytest.raises(CourseError, match="cannot start at 9"):
        slider(0, 4, 9)
    with pytest.raises(CourseError, match="at least one option"):
        choice()
