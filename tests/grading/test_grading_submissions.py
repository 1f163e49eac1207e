from __future__ import annotations

import copy
import json
import random

import pytest
import tiny_course
from tiny_course import NAME

from course_lib.errors import CourseError
from course_lib.grading.submissions import Submission, collect, examine

KNOWN = ["ps00_tiny", "ps01_tiny", "tiny"]


def put(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("{}")


def test_three_layouts_mixed_are_understood(tmp_path):
    put(
        tmp_path,
        f"ada/{NAME}.ipynb",
        f"ben/{NAME}/{NAME}.ipynb",
        f"eve_{NAME}.ipynb",
        "o.connor_x@example.org_ps01_tiny.ipynb",
        f"ada/.ipynb_checkpoints/{NAME}-checkpoint.ipynb",
        "ada/notes.txt",
    )
    found, refused = collect(tmp_path, KNOWN, KNOWN)
    assert refused == []
    assert [(s.student, s.assignment) for s in found] == [
        ("ada", NAME),
        ("ben", NAME),
        ("eve", NAME),
        ("o.connor_x@example.org", "ps01_tiny"),
    ]
    only, refused = collect(tmp_path, KNOWN, ["ps01_tiny"])
    assert [s.student for s in only] == ["o.connor_x@example.org"]
    assert refused == []


def test_the_longest_name_of_a_problem_set_wins(tmp_path):
    put(tmp_path, "ada_ps01_tiny.ipynb")
    assert collect(tmp_path, KNOWN, KNOWN)[0] == [Submission("ada", "ps01_tiny", tmp_path / "ada_ps01_tiny.ipynb")]


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (["ada/homework.ipynb"], "not that of a problem set"),
        ([f"{NAME}.ipynb"], "whose it is"),
        ([f"ada/extra/more/{NAME}.ipynb"], "whose it is"),
        ([f"-rf_{NAME}.ipynb"], "no name for a student"),
        ([f"=cmd()_{NAME}.ipynb"], "no name for a student"),
        ([f"ada/{NAME}.ipynb", f"ada_{NAME}.ipynb"], "there 2 times"),
    ],
)
def test_what_is_no_submission_is_named_with_a_reason(tmp_path, paths, reason):
    put(tmp_path, *paths)
    found, refused = collect(tmp_path, KNOWN, KNOWN)
    assert found == []
    assert len(refused) == 1
    assert reason in refused[0].reason


def test_a_folder_that_is_not_there_or_empty_is_refused(tmp_path):
    with pytest.raises(CourseError, match="no folder"):
        collect(tmp_path / "nowhere", KNOWN, KNOWN)
    with pytest.raises(CourseError, match="no submission"):
        collect(tmp_path, KNOWN, KNOWN)
    put(tmp_path, "file")
    with pytest.raises(CourseError, match="not a folder"):
        collect(tmp_path / "file", KNOWN, KNOWN)
    put(tmp_path, "ada_tiny.ipynb")
    with pytest.raises(CourseError, match="no submission of ps01_tiny"):
        collect(tmp_path, KNOWN, ["ps01_tiny"])


def cells_of(change):
    def apply(notebook):
        change(notebook["cells"])

    return apply


DAMAGE = {
    "nothing": (lambda nb: None, None),
    "other text": (cells_of(lambda cells: cells[3].update(source="def double(x): return x")), None),
    "cells of one's own": (
        cells_of(lambda cells: cells.insert(2, {"cell_type": "markdown", "metadata": {}, "source": "mine"})),
        None,
    ),
    "lines as a list": (cells_of(lambda cells: cells[3].update(source=["def double(x):\n", "    return x"])), None),
    "no ids": (cells_of(lambda cells: [cell.pop("id") for cell in cells]), None),
    "a duplicated test": (
        cells_of(lambda cells: cells.append(copy.deepcopy(cells[4]))),
        "'double-test' is there 2 times",
    ),
    "a duplicated solution": (
        cells_of(lambda cells: cells.append(copy.deepcopy(cells[3]))),
        "'double' is there 2 times",
    ),
    "a deleted test": (cells_of(lambda cells: cells.pop(4)), "'double-test' is missing"),
    "two deleted": (cells_of(lambda cells: [cells.pop(4), cells.pop(4)]), "'double-test' is missing and 1 more"),
    "marks stripped": (cells_of(lambda cells: [cell.update(metadata={}) for cell in cells]), "none of the"),
    "an old schema": (cells_of(lambda cells: cells[4]["metadata"]["nbgrader"].update(schema_version=1)), "version 1"),
    "no schema": (cells_of(lambda cells: cells[4]["metadata"]["nbgrader"].pop("schema_version")), "version None"),
    "format 3": (lambda nb: nb.update(nbformat=3), "format is 3"),
    "no cells": (lambda nb: nb.pop("cells"), "no list of cells"),
    "cells that are none": (lambda nb: nb.update(cells=[1, None]), "form of a notebook"),
    "marks that are none": (
        cells_of(lambda cells: cells[4]["metadata"].update(nbgrader=7)),
        "'double-test' is missing",
    ),
    "a cell without type": (cells_of(lambda cells: cells[0].pop("cell_type")), "form of a notebook"),
    "a cell without source": (cells_of(lambda cells: cells[3].pop("source")), "form of a notebook"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(tmp_path, damage):
    source = tiny_course.notebook()
    submission = copy.deepcopy(json.loads(json.dumps(source)))
    change, reason = DAMAGE[damage]
    change(submission)
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps(submission))
    found = examine(path, source)
    assert (found is None) if reason is None else (found is not None and reason in found), found


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"[]",
        b"null",
        b"7",
        b'{"cells": []}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"nbformat": 4, "cells": {}}',
    ],
)
def test_what_is_no_notebook_is_refused(tmp_path, data):
    path = tmp_path / "x.ipynb"
    path.write_bytes(data)
    assert examine(path, tiny_course.notebook())


def test_random_damage_never_raises(tmp_path):
    """Values anywhere in the file replaced by others: a reason or none, never an exception."""
    source = json.loads(json.dumps(tiny_course.notebook()))
    chance = random.Random(0)
    path = tmp_path / "x.ipynb"
    refused = 0
    for _ in range(150):
        submission = copy.deepcopy(source)
        node = submission
        while isinstance(node, (dict, list)) and node:
            key = chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
            if chance.random() < 0.3 or not isinstance(node[key], (dict, list)):
                node[key] = chance.choice([None, 7, -1.5, "", "x", [], {}, [None], {"a": 1}, True])
                break
            node = node[key]
        path.write_text(json.dumps(submission))
        refused += examine(path, source) is not None
    assert 20 < refused < 150
