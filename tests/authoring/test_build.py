"""`course build`: deterministic, free of outputs and of the machine, and kind to the ids of cells."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from course_lib.authoring.build import build, build_command, notebook_text
from course_lib.errors import CourseError


def ids(path: Path) -> list[str]:
    return [cell["id"] for cell in json.loads(path.read_text())["cells"]]


def test_rebuilding_from_nothing_gives_the_same_bytes(small):
    built = build(small)
    assert [path.name for path in built] == ["01_first.ipynb", "02_second.ipynb", "ps01_first.ipynb"]
    before = {path: path.read_bytes() for path in built}
    assert build(small) == []
    for path in built:
        path.unlink()
    build(small)
    assert {path: path.read_bytes() for path in built} == before


def test_a_build_does_not_depend_on_an_older_build_or_on_the_folder(small, tmp_path):
    source = small / "notebooks/01_first.py"
    text = notebook_text(source)
    build(small)
    executed = json.loads(text)
    executed["cells"][3].update(execution_count=7, outputs=[])
    executed["metadata"]["language_info"]["version"] = "3.99"
    (small / "notebooks/01_first.ipynb").write_text(json.dumps(executed))
    assert build(small) == [small / "notebooks/01_first.ipynb"]
    assert (small / "notebooks/01_first.ipynb").read_text() == text
    other = shutil.copy(source, tmp_path / "elsewhere.py")
    assert notebook_text(other) == text


def test_ids_are_unique_and_survive_the_edit_of_another_cell(small):
    build(small)
    before = ids(small / "notebooks/01_first.ipynb")
    assert len(set(before)) == len(before) == 6  # two of the cells hold the same text
    source = small / "notebooks/01_first.py"
    source.write_text(
        source.read_text().replace("# %%\n# !pip", "# %% [markdown]\n# New.\n\n# %%\n# !pip").replace("2 * x", "x + x")
    )
    build(small)
    after = ids(small / "notebooks/01_first.ipynb")
    assert after[:2] + after[3:-1] == before[:-1]
    assert after[-1] != before[-1]


def test_a_graded_cell_keeps_its_id_through_its_own_edit(small):
    source = small / "solutions/ps01_first/ps01_first.py"
    build(small)
    assert ids(source.with_suffix(".ipynb"))[1:] == ["double", "double-test"]
    source.write_text(source.read_text().replace("return x + x", "return 2 * x"))
    build(small)
    assert ids(source.with_suffix(".ipynb"))[1:] == ["double", "double-test"]


def test_nothing_of_the_machine_or_of_the_editor_gets_in(small):
    build(small)
    for path in small.rglob("*.ipynb"):
        notebook = json.loads(path.read_text())
        assert notebook["metadata"] == {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        for cell in notebook["cells"]:
            assert set(cell["metadata"]) <= {"tags", "nbgrader"}
            assert not cell.get("outputs") and cell.get("execution_count") is None
        assert path.read_bytes().endswith(b"}\n")


def test_check_names_what_is_out_of_date_and_changes_nothing(small, capsys):
    build(small)
    assert build_command(check=True) == 0
    source = small / "notebooks/02_second.py"
    source.write_text(source.read_text().replace("2 * x", "x * 2"))
    orphan = small / "notebooks/03_gone.ipynb"
    orphan.write_text("{}")
    before = {path: path.read_bytes() for path in small.rglob("*.ipynb")}
    assert build_command(check=True) == 1
    out = capsys.readouterr().out
    assert "notebooks/02_second.ipynb" in out and "notebooks/03_gone.ipynb" in out and "01_first" not in out
    assert {path: path.read_bytes() for path in small.rglob("*.ipynb")} == before
    assert build_command(check=False) == 0
    assert not orphan.exists() and build_command(check=True) == 0


def test_a_source_without_cells_or_with_a_repeated_grade_id_is_refused(small):
    source = small / "notebooks/01_first.py"
    source.write_text("print('not a notebook')\n")
    with pytest.raises(CourseError, match="has no cells"):
        notebook_text(source)
    source = small / "solutions/ps01_first/ps01_first.py"
    source.write_text(source.read_text().replace('"double-test"', '"double"'))
    with pytest.raises(CourseError, match="'double' is used twice"):
        notebook_text(source)


def test_outside_the_repository_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CourseError, match="not inside the course's repository"):
        build_command(check=False)


def test_the_built_notebooks_match_their_sources(repository):
    assert build(repository, check=True) == []
