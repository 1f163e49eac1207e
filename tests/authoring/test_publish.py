"""`course publish`: what students get, searched for what they must not get; and nothing of theirs is lost."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from course_lib.authoring import publish as publishing
from course_lib.authoring.build import build
from course_lib.authoring.publish import MARKER, leaks, publish
from course_lib.authoring.tree import assignment_sources, lecture_sources
from course_lib.errors import CourseError


@pytest.fixture
def course(small, repository, monkeypatch):
    """The small course with a library and a hand-made release, which counts as up to date."""
    (small / "pyproject.toml").write_text((repository / "pyproject.toml").read_text())
    (small / "LICENSE").write_text("MIT")
    for name in ("course_lib", "course_lib/authoring", "course_lib/grading", "course_lib/checks"):
        (small / name).mkdir()
        (small / name / "__init__.py").write_text('"""."""\n')
    (small / "course_lib/authoring/secret.py").write_text("KEY = 1\n")
    (small / "assignments/ps01_first").mkdir()
    build(small)
    notebook = json.loads((small / "solutions/ps01_first/ps01_first.ipynb").read_text())
    notebook["cells"][1]["source"] = "def double(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    notebook["cells"][2]["source"] = "assert double(2) == 4"
    (small / "assignments/ps01_first/ps01_first.ipynb").write_text(json.dumps(notebook))
    monkeypatch.setattr(publishing, "_up_to_date", lambda root: None)
    return small


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_students_get_lectures_releases_library_and_nothing_else(course, tmp_path):
    target = tmp_path / "students"
    publish(course, target)
    assert sorted(files(target)) == sorted(
        [
            MARKER,
            ".gitignore",
            "LICENSE",
            "README.md",
            "assignments/ps01_first/ps01_first.ipynb",
            "course_lib/__init__.py",
            "course_lib/checks/__init__.py",
            "course_lib/handin/released/ps01_first.ipynb",
            "environment.yml",
            "notebooks/01_first.ipynb",
            "notebooks/02_second.ipynb",
            "pyproject.toml",
        ]
    )
    project = tomllib.loads((target / "pyproject.toml").read_text())
    assert (
        project["project"]["dependencies"]
        == tomllib.loads((course / "pyproject.toml").read_text())["project"]["dependencies"]
    )
    assert "optional-dependencies" not in project["project"]
    assert "blob/main/assignments/ps01_first/ps01_first.ipynb" in (target / "README.md").read_text()
    assert "pytorch>=2.6" in (target / "environment.yml").read_text()


def test_publishing_again_replaces_its_files_and_keeps_everything_else(course, tmp_path):
    target = tmp_path / "students"
    publish(course, target)
    (target / ".git").mkdir()
    (target / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (target / "syllabus.pdf").write_bytes(b"the teacher's own")
    (target / "notebooks/extra.ipynb").write_text("{}")
    (course / "notebooks/02_second.py").unlink()
    build(course)
    publish(course, target)
    after = files(target)
    assert "notebooks/02_second.ipynb" not in after
    assert {".git/HEAD", "syllabus.pdf", "notebooks/extra.ipynb", "notebooks/01_first.ipynb"} <= set(after)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["course", "students"]


def test_a_fresh_clone_may_be_published_into(course, tmp_path):
    (tmp_path / "students/.git").mkdir(parents=True)
    publish(course, tmp_path / "students")
    assert (tmp_path / "students/.git").is_dir() and (tmp_path / "students/README.md").is_file()


def test_a_folder_with_other_things_is_left_alone(course, tmp_path):
    target = tmp_path / "thesis"
    target.mkdir()
    (target / "thesis.tex").write_text("years of work")
    with pytest.raises(CourseError, match="is not empty and is not an earlier publication"):
        publish(course, target)
    assert files(target) == {"thesis.tex": b"years of work"}
    with pytest.raises(CourseError, match="is not empty"):
        publish(course, course)
    with pytest.raises(CourseError, match="is a file"):
        publish(course, target / "thesis.tex")


def test_a_file_of_the_teacher_in_the_way_is_not_overwritten(course, tmp_path):
    target = tmp_path / "students"
    publish(course, target)
    (course / "notebooks/03_third.py").write_text((course / "notebooks/01_first.py").read_text())
    build(course)
    (target / "notebooks/03_third.ipynb").write_text("mine")
    before = files(target)
    with pytest.raises(CourseError, match="is in the way"):
        publish(course, target)
    assert files(target) == before


@pytest.mark.parametrize("where", ["assignments/ps01_first/ps01_first.ipynb", "course_lib/checks/__init__.py"])
def test_a_hidden_test_anywhere_stops_the_publication(course, tmp_path, where):
    source = course / "solutions/ps01_first/ps01_first.py"
    secret = "assert double(17.5) == 35 and double(-1) == -2"
    source.write_text(source.read_text().replace("assert double(17.5) == 35", secret))
    path = course / where
    if path.suffix == ".ipynb":
        notebook = json.loads(path.read_text())
        notebook["cells"][2]["source"] += f"\n\n    {secret}"
        path.write_text(json.dumps(notebook))
    else:
        path.write_text(f"def check(double):\n    {secret}\n")
    with pytest.raises(CourseError, match="holds a region HIDDEN TESTS of ps01_first"):
        publish(course, tmp_path / "students")
    assert [path.name for path in tmp_path.iterdir()] == ["course"]


def test_markers_and_the_instructors_side_are_found(course, tmp_path):
    target = tmp_path / "students"
    publish(course, target)
    shutil.copytree(course / "course_lib/grading", target / "course_lib/grading")
    (target / "notebooks/01_first.py").write_text("x = 1\n")
    notebook = json.loads((target / "notebooks/01_first.ipynb").read_text())
    notebook["cells"][0]["source"] = "### BEGIN SOLUTION"
    (target / "notebooks/01_first.ipynb").write_text(json.dumps(notebook))
    assert len(leaks(target, course)) == 3


def test_a_full_disk_leaves_an_earlier_publication_as_it_was(course, tmp_path, monkeypatch):
    target = tmp_path / "students"
    publish(course, target)
    (target / "own.txt").write_text("kept")
    before = files(target)

    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publishing.shutil, "copyfile", full)
    with pytest.raises(CourseError, match="No space left on device"):
        publish(course, target)
    monkeypatch.undo()
    monkeypatch.setattr(publishing, "_up_to_date", lambda root: None)
    replace, calls = publishing.os.replace, []

    def fails_at_the_last(source, destination):
        calls.append(source)
        if len(calls) == 3:  # the old folder is aside, a kept file has moved, the new folder is not there yet
            full()
        replace(source, destination)

    monkeypatch.setattr(publishing.os, "replace", fails_at_the_last)
    with pytest.raises(CourseError, match="No space left on device"):
        publish(course, target)
    assert len(calls) > 3
    assert files(target) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["course", "students"]


def test_what_is_out_of_date_is_not_published(course, tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(course)
    source = course / "notebooks/01_first.py"
    source.write_text(source.read_text() + "\n# %%\nprint(2)\n")
    with pytest.raises(CourseError, match=r"notebooks/01_first.ipynb is out of date; run: make notebooks assignments"):
        publish(course, tmp_path / "students")


# -------------------------------------------------------------------------------------------- the course as it stands


@pytest.fixture(scope="module")
def published(repository, tmp_path_factory):
    target = tmp_path_factory.mktemp("published") / "students"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "_up_to_date", lambda root: None)  # tests of the built files say so
        publish(repository, target)
    return target


def words(text: str) -> str:
    """Every run of white space one space: what is left of a text however it is wrapped or indented."""
    return " ".join(text.split())


def everything(folder: Path) -> dict[str, str]:
    """The text of every published file; notebooks cell by cell, as a reader sees them."""
    found = {}
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
        found[str(path.relative_to(folder))] = words(text)
    return found


def test_no_solution_hidden_test_or_mutant_is_published(published, repository):
    texts = everything(published)
    secrets = {}
    for source in assignment_sources(repository):
        text = source.read_text(encoding="utf-8")
        for number, match in enumerate(re.finditer(r"### BEGIN (SOLUTION|HIDDEN TESTS)(.*?)### END", text, re.DOTALL)):
            if match[1] == "HIDDEN TESTS" or match[2].strip().count("\n") >= 2:  # two lines may stand anywhere
                secrets[f"{source.stem} {match[1]} {number}"] = words(match[2])
    for path in (repository / "tests/mutants").glob("ps*.py"):
        strings = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        bodies = [text for text in strings if isinstance(text, str) and text.count("\n") >= 2]
        secrets.update({f"{path.stem} {number}": words(body) for number, body in enumerate(bodies)})
    assert len(secrets) > 60
    for where, secret in secrets.items():
        if len(secret) >= 20:
            assert [name for name, text in texts.items() if secret in text] == [], where
    names = set(texts)
    assert not [name for name in names if "grading" in name or "authoring" in name or name.startswith(("tests", "sol"))]
    for name, text in texts.items():
        if name.endswith(".ipynb"):
            assert "BEGIN SOLUTION" not in text and "BEGIN HIDDEN" not in text, name


def test_every_notebook_is_published(published, repository):
    assert sorted(path.stem for path in (published / "notebooks").iterdir()) == [
        path.stem for path in lecture_sources(repository)
    ]
    assert sorted(path.name for path in (published / "assignments").iterdir()) == [
        path.stem for path in assignment_sources(repository)
    ]


def test_the_published_library_works_without_the_instructors_side(published):
    code = (
        "import course_lib, course_lib.cli, course_lib.loop, course_lib.data, course_lib.checks, sys\n"
        "assert course_lib.__file__.startswith(sys.argv.pop()), course_lib.__file__\n"
        "sys.argv[:] = ['course', '--help']; course_lib.cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(published)], cwd=published, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    offered = re.findall(r"^\W*│ (\w+) ", done.stdout, re.MULTILINE)
    assert offered == ["doctor", "check"]


def test_a_student_can_check_a_notebook_against_the_release_in_the_library(published, tmp_path):
    """Also where the notebook in the clone's assignments/ has been worked on."""
    notebook = json.loads((published / "assignments/ps01_backprop/ps01_backprop.ipynb").read_text())
    notebook["cells"] = [cell for cell in notebook["cells"] if cell["id"] not in ("linear", "linear-forward")]
    mine = tmp_path / "ps01_backprop.ipynb"
    mine.write_text(json.dumps(notebook))
    code = (
        "import sys, course_lib.cli\n"
        "sys.argv[:] = ['course', 'check', '--no-run', sys.argv.pop()]; course_lib.cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(mine)], cwd=published, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1, done.stderr
    assert "The cell 'linear' was missing and counts as not done." in done.stdout
    assert "The cell 'linear-forward' was missing and was put back." in done.stdout
