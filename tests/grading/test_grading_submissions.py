from __future__ import annotations

import pytest
from tiny_course import NAME

from course_lib.errors import CourseError
from course_lib.grading.submissions import Submission, collect

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
