"""`course publish DIR`: the students' repository, with nothing in it that belongs to the instructor."""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from course_lib.authoring.badges import address, path_of
from course_lib.authoring.build import build
from course_lib.authoring.tree import assignment_sources, find_root, lecture_sources
from course_lib.errors import CourseError

MARKER = ".course-publication.json"  # names the files of a publication; nothing else is ever replaced or deleted
WITHHELD = ("authoring", "grading")  # packages of course_lib that students do not get
REGION = re.compile(r"### BEGIN (?P<kind>SOLUTION|HIDDEN TESTS)\n(?P<body>.*?)### END (?P=kind)", re.DOTALL)
CONDA = {"torch": "pytorch"}  # names that differ on conda-forge

README = """\
# {title}

{description}.

| lecture | |
|---|---|
{lectures}

| problem set | |
|---|---|
{assignments}

Open a badge to work on Colab, on a GPU if you choose one there (Runtime > Change runtime type). Nothing has to be
installed first; the first cell does it.

## On your own machine

With Python 3.11 or newer:

    git clone {repository}
    cd {name}
    python3 -m venv .venv
    .venv/bin/pip install -e . jupyterlab
    .venv/bin/course doctor
    .venv/bin/jupyter lab notebooks

or with conda: `conda env create --file environment.yml`, then `conda activate course`. On Windows the programs are in
`.venv\\Scripts`. After that no network is needed: the lectures come with their data.

## Problem sets

Work in `assignments/NAME/NAME.ipynb`. Write between the lines that say so, run the check below each task, and keep the
cells as they are: your notebook is graded by their names. Before you hand it in, choose Kernel > Restart and Run All,
save it, and let it be checked:

    course check assignments/NAME/NAME.ipynb

On Colab, run this in a cell instead:

    from course_lib import handin
    handin.check()
"""

GITIGNORE = """\
.venv/
__pycache__/
*.egg-info/
.ipynb_checkpoints/
build/
*.pt
"""


def publish(root: Path, target: Path) -> list[str]:
    """Write the students' repository to `target`: made aside, searched for what must not be in it, then put in place.

    Of an earlier publication, the files it wrote are replaced, and everything else there (.git above all) is kept.

    Returns:
        The paths of the published files, relative to `target`.

    Raises:
        CourseError: `target` is neither new, empty, nor an earlier publication; built files or releases are out of
            date; something of the instructor's would be published; the disk is full.
    """
    target = target.resolve()
    earlier = _earlier(target)
    if target == root or target in root.parents:
        raise CourseError(f"{target} holds the course itself; publish into another folder.")
    _up_to_date(root)
    aside = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        aside.mkdir(parents=True)
        _fill(aside, root)
        found = leaks(aside, root)
        if found:
            raise CourseError(f"Nothing was published: {found[0]}.")
        files = sorted(str(path.relative_to(aside)) for path in aside.rglob("*") if path.is_file())
        in_the_way = [name for name in files if name not in earlier and (target / name).exists()]
        if in_the_way:
            raise CourseError(f"{target / in_the_way[0]} is in the way and not of an earlier publication; move it.")
        (aside / MARKER).write_text(json.dumps({"files": files}, indent=1) + "\n", encoding="utf-8")
        _put_in_place(aside, target, earlier)
    except OSError as error:
        raise CourseError(f"Could not write {target} ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return files


def _earlier(target: Path) -> set[str]:
    """The files that an earlier publication wrote to `target`; none where it is new or empty."""
    if not target.exists():
        return set()
    if not target.is_dir():
        raise CourseError(f"{target} is a file; name a folder.")
    entries = {path.name for path in target.iterdir()} - {".git"}
    if not entries:
        return set()
    try:
        return {str(name) for name in json.loads((target / MARKER).read_text(encoding="utf-8"))["files"]} | {MARKER}
    except (OSError, ValueError, KeyError, TypeError):
        raise CourseError(
            f"{target} is not empty and is not an earlier publication; name a new folder, or empty this one."
        ) from None


def _up_to_date(root: Path) -> None:
    from course_lib.grading.course import Course
    from course_lib.grading.release import release

    stale = build(root, check=True)
    if not stale and assignment_sources(root):
        course = Course.find(root)
        stale = [course.release(name) for name, changed in release(course, check=True) if changed]
    if stale:
        raise CourseError(f"{stale[0].relative_to(root)} is out of date; run: make notebooks assignments")


def _fill(folder: Path, root: Path) -> None:
    """Write every file of the students' repository into the empty `folder`."""
    pyproject = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    shutil.copytree(
        root / "course_lib",
        folder / "course_lib",
        ignore=lambda at, names: (
            {name for name in names if name == "__pycache__" or name.endswith(".pyc") or name.startswith(".")}
            | ({name for name in names if name in WITHHELD} if Path(at) == root / "course_lib" else set())
        ),
    )
    (folder / "notebooks").mkdir()
    for source in lecture_sources(root):
        shutil.copyfile(source.with_suffix(".ipynb"), folder / "notebooks" / f"{source.stem}.ipynb")
    for source in assignment_sources(root):
        shutil.copytree(
            root / "assignments" / source.stem,
            folder / "assignments" / source.stem,
            ignore=shutil.ignore_patterns(".*"),
        )
    # Students work on the notebooks in assignments/; course check compares with copies that they leave alone.
    releases = folder / "course_lib" / "handin" / "released"
    releases.mkdir(parents=True)
    for source in assignment_sources(root):
        name = f"{source.stem}.ipynb"
        shutil.copyfile(folder / "assignments" / source.stem / name, releases / name)
    shutil.copyfile(root / "LICENSE", folder / "LICENSE")
    for name, text in {
        "README.md": readme(root, pyproject["project"]),
        "pyproject.toml": students_pyproject(pyproject["project"]),
        "environment.yml": conda_environment(pyproject["project"]),
        ".gitignore": GITIGNORE,
    }.items():
        (folder / name).write_text(text, encoding="utf-8")


def readme(root: Path, project: dict[str, Any]) -> str:
    """The students' README: a badge for each notebook, and how to work on their own machine."""
    repository, branch = address(root)

    def rows(sources: list[Path]) -> str:
        colab = f"https://colab.research.google.com/github/{repository}/blob/{branch}"
        badge = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
        return "\n".join(f"| {title_of(path)} | {badge}({colab}/{path_of(path, root)}) |" for path in sources)

    description = project["description"].rstrip(".")
    return README.format(
        title="Networks that generate",
        description=description,
        lectures=rows(lecture_sources(root)),
        assignments=rows(assignment_sources(root)),
        repository=f"https://github.com/{repository}",
        name=repository.partition("/")[2],
    )


def title_of(source: Path) -> str:
    """The first heading of a notebook's source."""
    match = re.search(r"^# # (.+)$", source.read_text(encoding="utf-8"), re.MULTILINE)
    return match[1].strip() if match else source.stem


def students_pyproject(project: dict[str, Any]) -> str:
    """pyproject.toml with what a student needs and nothing else."""
    dependencies = "\n".join(f"    {json.dumps(line)}," for line in project["dependencies"])
    return f"""\
[build-system]
requires = ["hatchling>=1.21"]
build-backend = "hatchling.build"

[project]
name = "course_lib"
version = {json.dumps(project["version"])}
description = {json.dumps(project["description"])}
readme = "README.md"
license = {{ text = "MIT" }}
requires-python = {json.dumps(project["requires-python"])}
dependencies = [
{dependencies}
]

[project.scripts]
course = "course_lib.cli:main"

[tool.hatch.build.targets.wheel]
packages = ["course_lib"]
"""


def conda_environment(project: dict[str, Any]) -> str:
    """environment.yml with what a student needs, and JupyterLab to open the notebooks with."""
    lines = [f"python{project['requires-python']}"]
    for line in project["dependencies"]:
        name = re.match(r"[\w.-]+", line)[0]
        lines.append(CONDA.get(name, name) + line[len(name) :])
    listed = "\n".join(f"  - {line}" for line in [*lines, "jupyterlab", "pip"])
    return f"name: course\nchannels:\n  - conda-forge\ndependencies:\n{listed}\n  - pip:\n      - -e .\n"


# ------------------------------------------------------------------------------------------------- what must not be


def hidden_texts(root: Path) -> Iterator[tuple[str, str]]:
    """(where it stands, text) of every solution and every hidden test, as their lines without indentation.

    A solution of one or two lines (a loop that passes something on) is no secret: such lines stand everywhere.
    """
    for source in assignment_sources(root):
        for match in REGION.finditer(source.read_text(encoding="utf-8")):
            body = flat(match["body"])
            if body.count("\n") >= 2 or (match["kind"] == "HIDDEN TESTS" and len(body) >= 20):
                yield f"a region {match['kind']} of {source.stem}", body


def flat(text: str) -> str:
    """The lines of `text` without indentation, comment marks of the percent format, and empty lines."""
    return "\n".join(line for line in (line.strip() for line in text.splitlines()) if line and line != "#")


def readable(path: Path) -> str:
    """The text of a published file; of a notebook, the sources of its cells."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix != ".ipynb":
        return text
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])


def leaks(folder: Path, root: Path) -> list[str]:
    """What is in `folder` and must not be: one sentence for each find."""
    hidden = list(hidden_texts(root))
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder)
        text = readable(path)
        if path.suffix == ".ipynb" or path.suffix == ".md":
            found += [
                f"{name} holds the marker '{mark}'" for mark in ("BEGIN SOLUTION", "BEGIN HIDDEN") if mark in text
            ]
        if path.suffix == ".py" and "course_lib" not in name.parts[:1]:
            found.append(f"{name} is a source file outside the library")
        if name.parts[:1] == ("course_lib",) and set(WITHHELD) & set(name.parts):
            found.append(f"{name} is the instructor's")
        flattened = flat(text)
        found += [f"{name} holds {where}" for where, body in hidden if body in flattened]
    return found


def _put_in_place(aside: Path, target: Path, earlier: set[str]) -> None:
    """Move what is kept of the old folder into the new one, then let the new one take its place."""
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if not target.exists():
        os.replace(aside, target)
        return
    os.replace(target, old)
    moved: list[tuple[Path, Path]] = []
    try:
        for kept in _kept(old, earlier):
            destination = aside / kept.relative_to(old)
            destination.parent.mkdir(parents=True, exist_ok=True)
            os.replace(kept, destination)
            moved.append((kept, destination))
        os.replace(aside, target)
    except BaseException:
        for kept, destination in reversed(moved):
            os.replace(destination, kept)
        os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _kept(old: Path, earlier: set[str]) -> Iterator[Path]:
    """What stands in `old` and was not written by the earlier publication; .git as a whole, other things by file."""
    if (old / ".git").exists():
        yield old / ".git"
    for path in sorted(old.rglob("*")):
        name = path.relative_to(old)
        made = "__pycache__" in name.parts or ".egg-info" in str(name)
        if name.parts[0] != ".git" and (path.is_file() or path.is_symlink()) and str(name) not in earlier and not made:
            yield path


def publish_command(folder: Path) -> int:
    """What `course publish` does; the exit status."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    root = find_root()
    with console.status("Checking that everything is built"):
        files = publish(root, folder)
    counts = {part: sum(name.startswith(f"{part}/") for name in files) for part in ("notebooks", "assignments")}
    console.print(
        f"Published {len(files)} files to {folder}: {counts['notebooks']} lectures, {counts['assignments']} files of "
        "problem sets, the library. Nothing of the instructor's is among them."
    )
    console.print(f"Next: cd {folder}, then git add --all, git commit, git push.")
    return 0
