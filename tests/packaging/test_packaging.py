"""One truth about what is needed: pyproject.toml, environment.yml and both lists of versions agree; files are clean."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

CONDA = {"pytorch": "torch", "msgpack-python": "msgpack"}  # conda-forge's name: ours


@pytest.fixture(scope="module")
def project(repository) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wanted(project) -> dict[str, SpecifierSet]:
    """Every package that pyproject.toml asks for, extras included, with its bounds."""
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): r.specifier for r in requirements if canonicalize_name(r.name) != "course-lib"}


def pins(path: Path) -> dict[str, list[Requirement]]:
    """The pinned versions of a constraints file by package; a package may have one for each platform."""
    found: dict[str, list[Requirement]] = {}
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            requirement = Requirement(line)
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def test_environment_yml_says_the_same_as_pyproject(repository, project, wanted):
    environment = yaml.safe_load((repository / "environment.yml").read_text())
    said, pip = {}, []
    for line in environment["dependencies"]:
        if isinstance(line, dict):
            pip = line["pip"]
            continue
        name, bound = re.fullmatch(r"([\w.-]+)(.*)", line).groups()
        said[canonicalize_name(CONDA.get(name, name))] = SpecifierSet(bound)
    assert said.pop("python") == SpecifierSet(project["requires-python"])
    assert said.pop("pip") == SpecifierSet()
    assert said == wanted
    assert pip == ["-e ."]
    assert environment["channels"] == ["conda-forge"]


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-colab.txt"])
def test_pinned_versions_are_within_the_bounds(repository, wanted, name):
    pinned = pins(repository / name)
    for package, bounds in wanted.items():
        for pin in pinned.get(package, []):
            (version,) = pin.specifier
            assert version.operator == "==" and bounds.contains(version.version), f"{pin} but {bounds} is asked for"
    if name == "constraints.txt":
        assert set(wanted) <= set(pinned)
    else:
        assert {"numpy", "matplotlib", "scikit-learn", "ipywidgets", "tqdm", "rich", "typer", "platformdirs"} <= set(
            pinned
        )
        assert not {"torch", "torchvision"} & set(pinned)


def test_colabs_own_torch_is_within_the_bounds(wanted):
    assert wanted["torch"].contains("2.11.0") and wanted["torchvision"].contains("0.26.0")


def test_a_student_installs_nothing_that_only_instructors_need(project):
    names = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    assert not names & {"nbgrader", "papermill", "jupyterlab", "jupytext", "nbconvert", "psutil", "notebook", "pytest"}


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-colab.txt", "environment.yml"])
def test_no_list_of_versions_names_an_address_or_a_path(repository, name):
    lines = [line for line in (repository / name).read_text().splitlines() if not line.startswith("#")]
    for line in lines:
        assert not re.search(r"://|file:|--\w|(^|\s)/|@", line), line


# -------------------------------------------------------------------------------------------------------- the files


@pytest.fixture(scope="module")
def files(repository) -> list[Path]:
    """Every file that is, or would be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this copy is not a git checkout, so what would be committed is not known")
    return [path for name in listed.stdout.split("\0") if name and (path := repository / name).is_file()]


def test_no_file_is_over_a_megabyte(files):
    assert [(str(path), path.stat().st_size) for path in files if path.stat().st_size > 2**20] == []


def test_no_notebook_holds_outputs(files):
    notebooks = [path for path in files if path.suffix == ".ipynb"]
    for path in notebooks:
        notebook = json.loads(path.read_text())
        assert "version" not in notebook["metadata"].get("language_info", {}), path
        for cell in notebook["cells"]:
            assert not cell.get("outputs") and cell.get("execution_count") is None, path


def test_nothing_made_by_running_is_committed(files, repository):
    names = [str(path.relative_to(repository)) for path in files]
    bad = re.compile(r"(^|/)(build|submitted|autograded|feedback|__pycache__|\.ipynb_checkpoints)/|\.(db|pt|pyc|log)$")
    assert [name for name in names if bad.search(name)] == []


def test_no_file_names_a_place_on_somebodys_machine(files):
    place = re.compile(r"(?<![\w.$}/])/(?:root|home/\w+|Users/\w+|work|opt/pypi)/\w")
    found = []
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [(str(path), match[0]) for match in place.finditer(text)]
    assert found == []
