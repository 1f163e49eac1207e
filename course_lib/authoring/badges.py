"""`course badges`: write the students' repository, named once in pyproject.toml, wherever a reader follows it."""

from __future__ import annotations

import re
from pathlib import Path

from course_lib.authoring.build import build, write
from course_lib.authoring.tree import find_root, lecture_sources, settings, sources
from course_lib.errors import CourseError

GITHUB = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")
COLAB = re.compile(r"https://colab\.research\.google\.com/github/[\w.-]+/[\w.-]+/blob/(?P<rest>[^\s)\"'<>\\]+)")
INSTALL = re.compile(r"git\+https://github\.com/[\w.-]+/[\w.-]+?(?:\.git)?@[\w./-]+")
CLONE = re.compile(r"git clone https://github\.com/[\w.-]+/[\w.-]+")
NOTEBOOK = re.compile(r"(?:^|/)((?:notebooks|assignments)/.+)$")


def address(root: Path) -> tuple[str, str]:
    """("owner/name", branch) of the students' repository.

    Raises:
        CourseError: pyproject.toml does not name a repository on GitHub, which is what Colab opens.
    """
    course = settings(root)
    url, branch = str(course.get("repository", "")), str(course.get("branch", "main"))
    match = GITHUB.fullmatch(url)
    if not match:
        raise CourseError(
            f"[tool.course] repository in pyproject.toml is {url!r}; Colab needs https://github.com/OWNER/NAME."
        )
    if not re.fullmatch(r"[\w./-]+", branch):
        raise CourseError(f"[tool.course] branch in pyproject.toml is {branch!r}, which is not a branch's name.")
    return match[1], branch


def path_of(source: Path, root: Path) -> str:
    """Where students find the notebook of `source`: notebooks/NN_topic.ipynb or assignments/NAME/NAME.ipynb."""
    if source in lecture_sources(root):
        return f"notebooks/{source.stem}.ipynb"
    return f"assignments/{source.stem}/{source.stem}.ipynb"


def rewritten(text: str, repository: str, branch: str, own: str | None = None) -> str:
    """`text` with every Colab link, pip address and clone command pointing to `repository` at `branch`.

    A link keeps the notebook it points to; the badge of a notebook (`own` is its path) points to that notebook.
    """

    def link(match: re.Match[str]) -> str:
        found = NOTEBOOK.search(match["rest"])
        path = found[1] if found else match["rest"].partition("/")[2]
        badge = own is not None and text[: match.start()].endswith("colab-badge.svg)](")
        return f"https://colab.research.google.com/github/{repository}/blob/{branch}/{own if badge else path}"

    text = COLAB.sub(link, text)
    text = INSTALL.sub(f"git+https://github.com/{repository}@{branch}", text)
    return CLONE.sub(f"git clone https://github.com/{repository}", text)


def badges(root: Path, *, check: bool = False) -> list[Path]:
    """Rewrite the sources, README.md and CONTRIBUTING.md; the files that named another address.

    Args:
        root: the repository.
        check: change nothing.
    """
    repository, branch = address(root)
    changed = []
    for path in (*sources(root), root / "README.md", root / "CONTRIBUTING.md"):
        if not path.is_file():
            continue
        own = path_of(path, root) if path.suffix == ".py" else None
        before = path.read_text(encoding="utf-8")
        after = rewritten(before, repository, branch, own)
        if after != before:
            changed.append(path)
            if not check:
                write(path, after)
    return changed


def badges_command(check: bool) -> int:
    """What `course badges` does; the exit status."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    root = find_root()
    changed = badges(root, check=check)
    for path in changed:
        console.print(f"{'[red]names another address[/]' if check else 'rewritten'} {path.relative_to(root)}")
    if check:
        if changed:
            console.print("The address in pyproject.toml is not everywhere; run: course badges")
            return 1
    elif changed:
        built = build(root)
        console.print(f"{len(built)} notebooks built anew. Now run course release, so that the problem sets follow.")
    if not changed:
        console.print("Every badge names {} at {}.".format(*address(root)))
    return 0
