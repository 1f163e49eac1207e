"""Films of races: what each frame shows, and that the page holds all it needs and is small."""

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from course_lib.draw import use_style
from course_lib.errors import CourseError
from course_lib.races import Film, contours, race
from course_lib.scratch.optimizers import SGD, Adam
from course_lib.scratch.surfaces import beale, descend, ravine, saddle

pytestmark = pytest.mark.filterwarnings("ignore:Animation was deleted")  # not every test plays its film
PICTURE = re.compile(r"data:image/(\w+);base64,([A-Za-z0-9+/=]+)")


@pytest.fixture(autouse=True)
def _style():
    with plt.rc_context():
        use_style()
        yield


def paths(steps=240):
    return {
        f"momentum {mu}": descend(beale, lambda w, mu=mu: SGD(w, learning_rate=0.01, momentum=mu), steps=steps)
        for mu in (0.0, 0.3, 0.5, 0.7, 0.8, 0.9)
    } | {"Adam": descend(beale, lambda w: Adam(w, learning_rate=0.1), steps=steps)}


def pictures(html):
    return [(kind, plt.imread(io.BytesIO(base64.b64decode(text)), format=kind)) for kind, text in PICTURE.findall(html)]


def test_sixty_frames_are_small_and_need_no_net():
    film = race(beale, paths())
    html = film._repr_html_()
    found = pictures(html)
    assert [kind for kind, _ in found].count("webp") == 60
    assert [kind for kind, _ in found].count("png") == 1, "what stands still is there once"
    assert len({picture.shape[:2] for _, picture in found}) == 1, "the layers would not fit each other"
    assert len(html) < 1_000_000
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", html)
    assert "<script" in html and "mix-blend-mode:multiply" in html and "fa-" not in html
    assert not plt.get_fignums(), "a notebook would show the figure a second time"


def test_the_two_layers_multiplied_are_the_figure():
    film = race(ravine(), {"SGD": descend(ravine(), lambda w: SGD(w, learning_rate=0.015), steps=12)}, frames=4)
    found = dict((kind, picture) for kind, picture in pictures(film.to_jshtml()))  # of the frames the last is kept
    layered = found["png"][..., :3] * (found["webp"][..., :3] / 255.0)
    with io.BytesIO() as file:
        film.figure.savefig(file, dpi=film.figure.dpi)
        whole = plt.imread(io.BytesIO(file.getvalue()))[..., :3]
    # a line over a contour is a little darker in the layers than in the figure, where it hides the contour
    assert layered.shape == whole.shape
    assert np.mean(np.abs(layered - whole).max(axis=-1) > 0.05) < 0.01
    assert np.mean(found["png"][..., :3] < 0.9) > 0.005 and np.mean(found["webp"] < 230) > 0.001, "neither is empty"


def test_frames_show_the_steps_that_they_say():
    path = torch.stack([torch.arange(11.0), -torch.arange(11.0)], dim=1)
    film = race(saddle, {"all": path, "short": path[:4]}, frames=6)
    assert isinstance(film, Film)
    assert list(film.new_frame_seq()) == [0, 2, 4, 6, 8, 10]
    draw, (ax,) = film._func, film.figure.axes
    tracks = {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}
    for step in (0, 2, 10):
        draw(step)
        assert tracks["all"].get_xydata().tolist() == [[step, -step]]
        assert tracks["short"].get_xydata().tolist() == [[min(step, 3), -min(step, 3)]]
        assert [text.get_text() for text in ax.texts] == [f"step {step}"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["saddle point", "all", "short"]
    longest = max(ax.lines, key=lambda line: len(line.get_xydata()))
    assert longest.get_xydata().tolist() == path.tolist()
    film.to_jshtml()
    assert all(artist.get_visible() for artist in ax.lines), "what was hidden for the page is seen again"


def test_a_tail_is_as_long_as_asked_for():
    path = torch.arange(22.0).reshape(11, 2)
    film = race(saddle, {"one": path}, frames=11, tail=3)
    film._func(8)
    assert film.figure.axes[0].lines[0].get_xydata().tolist() == path[5:9].tolist()


def test_few_steps_make_few_frames():
    film = race(saddle, {"one": torch.zeros(4, 2)}, frames=60)
    assert list(film.new_frame_seq()) == [0, 1, 2, 3]


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_path_that_flies_away_is_drawn_as_far_as_it_goes():
    path = descend(beale, lambda w: SGD(w, learning_rate=1.0), steps=20)
    assert not path[-1].isfinite().all()
    film = race(beale, {"SGD": path, "Adam": descend(beale, lambda w: Adam(w, learning_rate=0.1), steps=20)}, frames=3)
    assert film.figure.axes[0].get_xlim() == beale.window[:2]
    film.to_jshtml()


def test_contours_mark_minima_and_saddle_points():
    ax = contours(beale, levels=9)
    labels = {c.get_label(): c.get_offsets().tolist() for c in ax.collections if not c.get_label().startswith("_")}
    assert labels == {"minimum": [[3.0, 0.5]], "saddle point": [[0.0, 1.0]]}
    (lines,) = [c for c in ax.collections if hasattr(c, "levels")]
    assert len(lines.levels) == 9
    assert ax.get_title() == "Beale's function"


@pytest.mark.parametrize(
    "given", [{}, {"flat": torch.zeros(4)}, {"empty": torch.zeros(0, 2)}, {"3-D": torch.zeros(4, 3)}]
)
def test_says_what_is_wrong(given):
    with pytest.raises(CourseError):
        race(beale, given)


def test_one_frame_is_no_film():
    with pytest.raises(CourseError, match="two frames"):
        race(beale, {"one": torch.zeros(3, 2)}, frames=1)
