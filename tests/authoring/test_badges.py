"""`course badges`: one address in pyproject.toml, the same everywhere else."""

from __future__ import annotations

import pytest

from course_lib.authoring.badges import badges, badges_command, rewritten
from course_lib.authoring.build import build
from course_lib.errors import CourseError

BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
COLAB = "https://colab.research.google.com/github"


def move(small, repository="https://github.com/other-school/generative", branch="2027"):
    path = small / "pyproject.toml"
    path.write_text(
        path.read_text()
        .replace("https://github.com/your-organisation/networks-that-generate", repository)
        .replace('branch = "main"', f'branch = "{branch}"')
    )


def test_the_new_address_reaches_sources_readme_and_built_files(small):
    (small / "README.md").write_text(
        f"{BADGE}({COLAB}/your-organisation/networks-that-generate/blob/main/notebooks/01_first.ipynb)\n"
        "git clone https://github.com/your-organisation/networks-that-generate\n"
        "see https://github.com/pytorch/pytorch\n"
    )
    build(small)
    assert badges_command(check=True) == 0
    move(small)
    assert badges_command(check=True) == 1
    assert badges_command(check=False) == 0
    for path in [*small.glob("notebooks/*"), small / "README.md"]:
        text = path.read_text()
        assert "your-organisation" not in text, path
    readme = (small / "README.md").read_text()
    assert f"{BADGE}({COLAB}/other-school/generative/blob/2027/notebooks/01_first.ipynb)" in readme
    assert "git clone https://github.com/other-school/generative\n" in readme
    assert "https://github.com/pytorch/pytorch" in readme
    source = (small / "notebooks/02_second.py").read_text()
    assert f"{COLAB}/other-school/generative/blob/2027/notebooks/02_second.ipynb)" in source
    assert "course_lib @ git+https://github.com/other-school/generative@2027" in source
    assert build(small, check=True) == []
    assert badges_command(check=True) == 0


def test_check_changes_nothing(small):
    move(small)
    before = {path: path.read_bytes() for path in small.rglob("*") if path.is_file()}
    assert badges(small, check=True) == [small / "notebooks/01_first.py", small / "notebooks/02_second.py"]
    assert {path: path.read_bytes() for path in small.rglob("*") if path.is_file()} == before


def test_a_badge_copied_from_another_notebook_is_put_right_but_other_links_keep_their_target():
    badge, link = (
        f"# {BADGE}({COLAB}/a/b/blob/main/notebooks/01.ipynb)",
        f"[x]({COLAB}/a/b/blob/x/y/notebooks/00.ipynb)",
    )
    assert rewritten(badge + link, "c/d", "main", "notebooks/08_gan.ipynb") == (
        f"# {BADGE}({COLAB}/c/d/blob/main/notebooks/08_gan.ipynb)[x]({COLAB}/c/d/blob/main/notebooks/00.ipynb)"
    )


@pytest.mark.parametrize(
    "repository", ["", "https://gitlab.com/a/b", "https://github.com/only-owner", "git@github.com:a/b"]
)
def test_an_address_that_colab_cannot_open_is_refused(small, repository):
    move(small, repository)
    before = (small / "notebooks/01_first.py").read_bytes()
    with pytest.raises(CourseError, match="Colab needs https://github"):
        badges(small)
    assert (small / "notebooks/01_first.py").read_bytes() == before


@pytest.mark.parametrize("repository", ["https://github.com/a/b.git", "https://github.com/a/b/"])
def test_an_address_as_copied_from_the_browser_is_understood(small, repository):
    move(small, repository, "main")
    badges(small)
    assert f"{COLAB}/a/b/blob/main/notebooks/01_first.ipynb" in (small / "notebooks/01_first.py").read_text()


def test_every_badge_of_the_course_names_its_address(repository):
    assert badges(repository, check=True) == []
