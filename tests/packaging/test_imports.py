"""Who may import whom, read from the source; and what the students' library does without."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib.cli import COMMANDS

STAFF = ("authoring", "grading")
COMMON = {"device", "errors", "loop", "draw", "data", "budget", "outcomes"}  # everything may use these
ALLOWED = {
    # the formulas and the stacks stand on their own
    "losses": {"losses", "nets", "errors"},
    "nets": {"losses", "nets", "errors"},
    "systems": {"systems", "losses", "nets"} | COMMON,
    "metrics": {"metrics", "losses", "nets"} | COMMON,
    "scratch": {"scratch"} | COMMON,
    "checks": {"checks"} | COMMON,
    "data": {"data", "errors", "device"},
    "handin": {"handin", "errors", "jupyter"},
}
THIRD_PARTY = {  # what a student has: the dependencies of pyproject.toml, and what they bring for certain
    *(
        "torch",
        "torchvision",
        "numpy",
        "matplotlib",
        "sklearn",
        "scipy",
        "threadpoolctl",
        "ipywidgets",
        "tqdm",
        "rich",
        "typer",
        "platformdirs",
    ),
    *("IPython", "traitlets", "packaging"),
    "google",  # of which only google.colab is meant, on Colab
}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


@pytest.fixture(scope="module")
def library(repository) -> dict[str, set[str]]:
    """The files of course_lib and what each imports."""
    root = repository / "course_lib"
    return {str(path.relative_to(root)): imports(path) for path in sorted(root.rglob("*.py"))}


def ours(names: set[str]) -> set[str]:
    """The parts of course_lib among imported modules: course_lib.nets.mlp.MLP is nets."""
    return {name.split(".")[1] for name in names if name.startswith("course_lib.")}


def students(library: dict[str, set[str]]) -> dict[str, set[str]]:
    return {name: found for name, found in library.items() if not name.startswith(STAFF)}


def test_each_part_imports_only_what_it_may(library):
    for name, found in library.items():
        part = name.split("/")[0]
        if part in ALLOWED:
            assert ours(found) <= ALLOWED[part], f"{name} imports {ours(found) - ALLOWED[part]}"


def test_the_students_side_never_imports_the_instructors(library):
    for name, found in students(library).items():
        assert not ours(found) & set(STAFF), name
    assert {command.split(".")[1] for command in COMMANDS} == {
        "doctor",
        "handin",
        *STAFF,
    }  # the command line asks by name


def test_students_need_nothing_else(library):
    for name, found in students(library).items():
        others = {module.split(".")[0] for module in found} - set(sys.stdlib_module_names) - {"course_lib"}
        assert others <= THIRD_PARTY, f"{name} imports {others - THIRD_PARTY}"


def test_typer_is_left_to_the_command_line(library):
    for name, found in students(library).items():
        if any(module.split(".")[0] == "typer" for module in found):
            assert name in ("cli.py", "doctor.py", "handin/commands.py")


def test_nothing_imports_notebooks_or_tests(library):
    for name, found in library.items():
        tops = {module.split(".")[0] for module in found}
        # the mutant runner reads tests/mutants by path
        assert not tops & {"notebooks", "solutions", "assignments", "tests"}, name


def test_systems_do_not_inherit_from_each_other(repository):
    for path in (repository / "course_lib/systems").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {
            name.asname or name.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module.startswith("course_lib.systems")
            for name in node.names
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                assert not imported & {base.id for base in node.bases if isinstance(base, ast.Name)}, path


def test_the_library_imports_without_widgets_jupyter_or_the_command_line(library):
    modules = [
        "course_lib." + name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in students(library)
        if name not in ("cli.py", "doctor.py", "__init__.py", "handin/commands.py")
    ]
    missing = [
        "ipywidgets",
        "IPython",
        "nbgrader",
        "papermill",
        "jupytext",
        "nbformat",
        "nbconvert",
        "psutil",
        "typer",
        "rich",
    ]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({missing!r}))\n"
        f"import importlib; [importlib.import_module(name) for name in {modules!r}]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_importing_the_course_is_cheap():
    dear = {"torch", "IPython", "ipywidgets", "matplotlib", "nbformat"}
    code = f"import sys, course_lib, course_lib.cli; print({dear!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "set()"
