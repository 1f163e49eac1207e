"""A submission rebuilt on the release: nothing of the student's is lost, nothing of the release's is changed."""

from __future__ import annotations

import copy
import json
import time

import nbformat
import pytest

from course_lib.handin.cells import nbgrader_of, source_of
from course_lib.handin.reading import CELLS, SIZE, load
from course_lib.handin.rebuild import Rebuilt, _rebuild, notebook_of, rebuild
from tests.handin.handin_material import RELEASES, answers_of, find, format_3, own, submission, through_colab

TINY = RELEASES["tiny"]
EVERY = pytest.mark.parametrize("name", RELEASES)


def built(notebook, release=TINY) -> Rebuilt:
    """`rebuild`, but what it would swallow is raised."""
    data = notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode()
    found = _rebuild(data, release)
    assert found == rebuild(data, release)
    return found


def solutions(found: Rebuilt) -> dict[str, str]:
    """The text of each solution cell, by grade_id."""
    names = {piece.grade_id for piece in found.pieces} & set(answers_of(RELEASES["tiny"]) | ANSWERS)
    return {piece.grade_id: piece.source for piece in found.pieces if piece.grade_id in names}


ANSWERS = {key: text for release in RELEASES.values() for key, text in answers_of(release).items()}


def own_cells(found: Rebuilt) -> list[str]:
    return [piece.source for piece in found.pieces if piece.place is None and piece.source]


def order(found: Rebuilt) -> list[int | str]:
    """Places of the release's cells, and the text of the student's own."""
    return [piece.source if piece.place is None else piece.place for piece in found.pieces]


# ----------------------------------------------------------------------------------------------- nothing is wrong


@EVERY
def test_an_honest_submission_is_taken_as_it_is(name):
    release = RELEASES[name]
    found = built(submission(release), release)
    assert (found.repairs, found.tampered, found.refusal) == ([], [], "")
    assert [piece.place for piece in found.pieces] == list(range(len(release["cells"])))
    assert solutions(found) == answers_of(release)
    for piece, cell in zip(found.pieces, release["cells"], strict=True):
        assert piece.kind == cell["cell_type"] and piece.grade_id == nbgrader_of(cell).get("grade_id", "")
        if not nbgrader_of(cell).get("solution"):
            assert piece.source == source_of(cell)


@EVERY
def test_a_round_trip_through_colab_changes_nothing(name):
    release = RELEASES[name]
    mine = submission(release)
    mine["cells"].insert(find(mine, next(iter(answers_of(release)))), own("helper = 3"))
    found = built(through_colab(mine), release)
    assert (found.repairs, found.tampered) == ([], [])
    assert found == built(mine, release)


@EVERY
def test_rebuilding_twice_gives_the_same_and_a_valid_notebook(name):
    release = RELEASES[name]
    mine = submission(release)
    mine["cells"].insert(3, own("helper = 3"))
    mine["cells"] += [own("more"), own("text", "markdown"), copy.deepcopy(mine["cells"][8])]
    once = built(mine, release)
    again = notebook_of(once, release)
    nbformat.validate(again)
    assert built(again, release) == Rebuilt(once.pieces)


def test_cells_of_ones_own_stay_where_they_stood():
    mine = submission(TINY)
    for place in (16, 13, 7, 6, 4, 3, 3, 0):
        mine["cells"].insert(place, own(f"before {place}"))
    found = built(mine)
    wanted = []
    for place in range(17):
        wanted += [f"before {place}"] * [0, 3, 3, 4, 6, 7, 13, 16].count(place) + [place] * (place < 16)
    assert order(found) == wanted
    assert found.repairs == []


def test_a_changed_setup_cell_is_the_students():
    mine = submission(TINY)
    mine["cells"][1]["source"] = 'BUDGET = "smoke"'
    mine["cells"][2]["source"] += "\nimport math"
    for notebook in (mine, through_colab(mine)):
        found = built(notebook)
        assert found.pieces[1].source == 'BUDGET = "smoke"'
        assert found.pieces[2].source.endswith("import math")
        assert found.repairs == []
    for cell in mine["cells"]:
        del cell["id"]
    assert built(mine).pieces[2].source.endswith("import math")  # recognised by its words


def test_pictures_in_a_written_answer_are_kept():
    mine = submission(TINY)
    picture = {"derivation.png": {"image/png": "aGVsbG8="}}
    mine["cells"][9] |= {"source": "![](attachment:derivation.png)", "attachments": picture}
    found = built(mine)
    assert found.pieces[9].attachments == picture
    assert notebook_of(found, TINY)["cells"][9]["attachments"] == picture


# ------------------------------------------------------------------------------- the list in "submissions that break"


def test_a_copied_test_cell_counts_once():
    mine = submission(TINY)
    mine["cells"].append(copy.deepcopy(mine["cells"][4]))
    found = built(mine)
    assert order(found) == list(range(16))
    assert found.repairs == ["The cell 'double-test' was there more than once; one was kept."]
    assert found.tampered == []


def test_an_edited_copy_of_a_test_cell_is_the_students_own():
    mine = submission(TINY)
    mine["cells"].insert(5, {**copy.deepcopy(mine["cells"][4]), "source": "print(double(3))"})
    found = built(mine)
    assert order(found) == [0, 1, 2, 3, 4, "print(double(3))", *range(5, 16)]
    assert found.pieces[4].source == TINY["cells"][4]["source"]
    assert found.tampered == []


@pytest.mark.parametrize("copied", [0, 1])
def test_of_two_copies_the_one_that_differs_from_the_stub_counts(copied):
    mine = submission(TINY)
    stub = copy.deepcopy(TINY["cells"][3])
    mine["cells"].insert(3 + copied, stub)
    found = built(mine)
    assert solutions(found) == answers_of(TINY)
    assert own_cells(found) == []  # a stub that came after would undo the answer
    assert found.repairs == ["The cell 'double' was there more than once; what was changed counts."]


def test_of_two_different_copies_the_last_counts_and_the_other_is_kept_before_it():
    mine = submission(TINY)
    mine["cells"].insert(3, {**copy.deepcopy(mine["cells"][3]), "source": "def double(x):\n    return 'old'"})
    found = built(mine)
    assert solutions(found) == answers_of(TINY)
    assert order(found) == [0, 1, 2, "def double(x):\n    return 'old'", *range(3, 16)]
    assert "the last complete one counts" in found.repairs[0]
    mine["cells"][3], mine["cells"][4] = mine["cells"][4], mine["cells"][3]
    found = built(mine)
    assert solutions(found)["double"] == "def double(x):\n    return 'old'"
    assert own_cells(found) == [answers_of(TINY)["double"]]


@pytest.mark.parametrize("worse", ["def double(x):\n    return (", "print('scratch')", ""])
def test_a_copy_that_is_incomplete_does_not_beat_one_that_is(worse):
    mine = submission(TINY)
    mine["cells"].append({**copy.deepcopy(mine["cells"][3]), "source": worse})
    found = built(mine)
    assert solutions(found) == answers_of(TINY)
    assert worse in own_cells(found) or not worse


def test_a_copy_that_does_not_count_never_undoes_the_one_that_does():
    old = "def double(x):\n    return ["  # incomplete, so it does not count though it is the last
    mine = submission(TINY)
    mine["cells"].append({**copy.deepcopy(mine["cells"][3]), "source": old})
    found = built(mine)
    assert order(found) == [0, 1, 2, old, *range(3, 16)]
    assert solutions(found) == answers_of(TINY)


def test_every_copy_of_a_written_answer_counts():
    mine = submission(TINY)
    mine["cells"].insert(10, {**copy.deepcopy(mine["cells"][9]), "source": "And further."})
    mine["cells"].insert(10, copy.deepcopy(TINY["cells"][9]))
    found = built(mine)
    assert solutions(found)["why"] == answers_of(TINY)["why"] + "\n\nAnd further."
    assert order(found) == list(range(16))


def test_a_copy_made_into_another_task_is_that_tasks():
    mine = submission(TINY)
    mine["cells"][6] = {**copy.deepcopy(mine["cells"][3]), "source": mine["cells"][6]["source"]}
    found = built(mine)
    assert solutions(found) == answers_of(TINY)


@pytest.mark.parametrize("version", [1, 2, 4, None, "3", [], {}])
def test_an_altered_schema_version_is_no_harm(version):
    mine = submission(TINY)
    for cell in mine["cells"]:
        nbgrader_of(cell)["schema_version"] = version
    found = built(mine)
    assert solutions(found) == answers_of(TINY)
    assert found.tampered == []
    assert [repair for repair in found.repairs if "had marks that were changed" in repair]


def test_points_cannot_be_raised_nor_solutions_declared():
    mine = submission(TINY)
    mine["cells"][4]["metadata"]["nbgrader"] |= {"points": 100, "solution": True, "locked": False}
    mine["cells"][4]["source"] = "pass"
    found = built(mine)
    assert found.pieces[4].source == TINY["cells"][4]["source"]
    assert len(found.tampered) == 1
    assert notebook_of(found, TINY)["cells"][4]["metadata"] == TINY["cells"][4]["metadata"]


@EVERY
@pytest.mark.parametrize("ids", [True, False])
def test_marks_stripped_by_an_editor_are_made_up_for(name, ids):
    release = RELEASES[name]
    mine = submission(release)
    mine["cells"].insert(4, own("def helper():\n    return 7"))
    for cell in mine["cells"]:
        cell["metadata"] = {}
        if not ids:
            cell.pop("id", None)
    found = built(mine, release)
    assert solutions(found) == answers_of(release)
    assert own_cells(found) == ["def helper():\n    return 7"]
    assert found.tampered == []
    assert len(found.repairs) == 1
    assert "had lost nbgrader's marks and were recognised" in found.repairs[0]


def test_marks_stripped_from_one_cell_only():
    for name, text in answers_of(TINY).items():
        mine = submission(TINY)
        place = find(mine, name)
        mine["cells"][place] = own(text, mine["cells"][place]["cell_type"])
        found = built(mine)
        assert solutions(found) == answers_of(TINY), name
        assert found.repairs == [f"The cell '{name}' had lost nbgrader's marks and was recognised by what it holds."]


def test_a_missing_test_cell_is_put_back():
    mine = submission(TINY)
    del mine["cells"][11], mine["cells"][4:6]
    found = built(mine)
    assert order(found) == list(range(16))
    assert found.repairs == ["The cells 'double-test' and 'largest-test' were missing and were put back."]


def test_a_missing_solution_counts_as_not_done():
    mine = submission(TINY)
    del mine["cells"][3]
    found = built(mine)
    assert found.pieces[3].source == TINY["cells"][3]["source"]
    assert found.repairs == ["The cell 'double' was missing and counts as not done."]


@EVERY
@pytest.mark.parametrize("kind", ["markdown", "raw", "code"])
def test_a_change_of_the_kind_of_cell_is_undone(name, kind):
    release = RELEASES[name]
    mine = submission(release)
    for cell in mine["cells"]:
        cell["cell_type"] = kind
    found = built(mine, release)
    assert solutions(found) == answers_of(release)
    assert [piece.kind for piece in found.pieces] == [cell["cell_type"] for cell in release["cells"]]
    assert found.tampered == []
    assert any(f"had become {kind}" in repair for repair in found.repairs)


@EVERY
@pytest.mark.parametrize("marked", ["both", "first", "last"])
def test_a_split_solution_is_put_together(name, marked):
    """JupyterLab gives both parts the marks, older notebooks one of them."""
    release = RELEASES[name]
    for grade_id, text in answers_of(release).items():
        lines = text.split("\n")
        if "def" not in text or len(lines) < 3:
            continue
        for cut in {1, len(lines) // 2, len(lines) - 1}:
            mine = submission(release)
            place = find(mine, grade_id)
            parts = [copy.deepcopy(mine["cells"][place]) for _ in range(2)]
            parts[0]["source"], parts[1]["source"] = "\n".join(lines[:cut]), "\n".join(lines[cut:])
            if marked != "both":
                parts[marked == "first"]["metadata"] = {}
                parts[marked == "first"]["id"] = "new"
            mine["cells"][place : place + 1] = parts
            found = built(mine, release)
            together = "\n".join(piece.source for piece in found.pieces if piece.place in (place, None))
            assert together == text, (grade_id, cut)  # in one cell, or in two of which each is valid code
            assert found.pieces[place].place == place or "def" in found.pieces[place].source


def test_merged_cells_are_taken_apart():
    mine = submission(TINY)
    for first, last in ((10, 11), (6, 8), (3, 4)):
        merged = mine["cells"][first]
        merged["source"] = "\n\n".join(cell["source"] for cell in mine["cells"][first : last + 1])
        del mine["cells"][first + 1 : last + 1]
    found = built(mine)
    assert order(found) == list(range(16))
    assert found.tampered == []
    for name, text in answers_of(TINY).items():
        assert solutions(found)[name].strip() == text, name


def test_solutions_merged_into_what_stands_before_them_are_found():
    mine = submission(TINY)
    for first in (12, 8, 5):  # a plain cell with a solution, a question with its answer, a test with a solution
        mine["cells"][first]["source"] += "\n\n" + mine["cells"][first + 1]["source"]
        del mine["cells"][first + 1]
    mine["cells"][4]["source"] = mine["cells"][4]["source"]
    found = built(mine)
    assert found.pieces[12].source.strip() == TINY["cells"][12]["source"]
    assert solutions(found)["sign"].strip() == answers_of(TINY)["sign"]
    assert solutions(found)["why"].strip() == answers_of(TINY)["why"]
    assert order(found) == list(range(16))


def test_two_solutions_in_one_cell_count_both():
    mine = submission(TINY)
    mine["cells"][3]["source"] += "\n\n" + mine["cells"][6]["source"]
    del mine["cells"][6]
    found = built(mine)
    assert answers_of(TINY)["mean"] in solutions(found)["double"]
    assert "NotImplementedError" not in solutions(found)["mean"]  # a stub there would undo it
    assert any("'mean'" in repair for repair in found.repairs)


@EVERY
def test_reordered_cells_go_back_to_their_places(name):
    release = RELEASES[name]
    mine = submission(release)
    mine["cells"].reverse()
    found = built(mine, release)
    assert order(found) == list(range(len(release["cells"])))
    assert solutions(found) == answers_of(release)
    assert any("stood elsewhere" in repair for repair in found.repairs)


def test_a_helper_goes_along_with_a_solution_that_was_moved():
    mine = submission(TINY)
    mine["cells"] += [own("def helper(): ..."), mine["cells"].pop(3)]
    found = built(mine)
    assert order(found) == [0, 1, 2, "def helper(): ...", *range(3, 16)]


# ------------------------------------------------------------------------------------------------------- tampering


def test_a_changed_test_cell_is_told_and_the_releases_is_used():
    mine = submission(TINY)
    mine["cells"][4]["source"] = "check(1, lambda: True)"
    found = built(mine)
    assert found.pieces[4].source == TINY["cells"][4]["source"]
    assert found.tampered == [
        "The test cell 'double-test' was not as released (it held 'check(1, lambda: True)'); "
        "the released text was used."
    ]
    mine["cells"][4]["source"] = ""
    assert "some of it was missing" in built(mine).tampered[0]


@pytest.mark.parametrize(
    "harmless",
    [
        lambda text: text + "\n\n",
        lambda text: "\n" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "  \n") + " ",
        lambda text: text.splitlines(keepends=True),
    ],
)
def test_white_space_is_no_tampering(harmless):
    mine = submission(TINY)
    for cell in mine["cells"]:
        if nbgrader_of(cell).get("locked"):
            cell["source"] = harmless(cell["source"])
    assert built(mine).tampered == []


def test_hidden_tests_that_nbgrader_put_in_are_no_tampering():
    mine = submission(TINY)
    hidden = "### BEGIN HIDDEN TESTS\nassert double(-17) == -34, 'secret'\n### END HIDDEN TESTS"
    mine["cells"][4]["source"] += hidden
    mine["cells"][5]["source"] = hidden + "\n"
    mine["cells"][7]["source"] += "\n# Hidden tests ran here.\n"
    found = built(mine)
    assert found.tampered == []
    assert found.repairs == [
        "The cells 'double-test', 'double-sequence' and 'mean-test' came from a graded notebook; "
        "the problem set's own text was used."
    ]
    mine["cells"][4]["source"] = "assert True\n" + hidden
    assert len(built(mine).tampered) == 1


def test_an_answer_written_into_the_question_is_not_lost():
    mine = submission(TINY, {})
    mine["cells"][8]["source"] = "Because 0/0 is undefined."
    found = built(mine)
    assert found.pieces[8].source == TINY["cells"][8]["source"]
    assert own_cells(found) == ["Because 0/0 is undefined."]
    assert len(found.tampered) == 1


# -------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"\0\0\0\0", "it is empty"),
        (b"hello", "not JSON"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"%PDF-1.7", "a PDF"),
        (b'{"cells": [\n<<<<<<< HEAD\n{}\n=======\n>>>>>>> mine\n]}', "merge conflict"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code", "sou', "cut off"),
        (b'{"nbformat": 4, "cells": [,]}', "no JSON from line 1"),
        (b"[]", "no notebook"),
        (b"null", "no notebook"),
        (b"7", "no notebook"),
        (b'"text"', "not JSON"),
        (b"{}", "no list of cells"),
        (b'{"nbformat": 4, "cells": {}}', "no list of cells"),
        (b'{"nbformat": 4, "cells": 3}', "no list of cells"),
        (b'{"nbformat": 4, "cells": []}', "none of the problem set's graded cells"),
        (b'{"nbformat": 4, "cells": [1, null, "x"]}', "none of the problem set's graded cells"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"nbformat": 4, "cells": [' + b"{}," * CELLS + b"{}]}", f"{CELLS + 1} cells"),
        (b"x" * (SIZE + 1), "larger than 20 MB"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_what_is_no_submission_is_refused_with_a_reason(data, reason):
    found = built(data)
    assert found.pieces == []
    assert reason in found.refusal


def test_another_problem_set_is_refused_and_named():
    found = built(submission(RELEASES["ps08_gan"]), RELEASES["ps01_backprop"])
    assert "none of its graded cells is of this problem set (one is 'optimal-critic')" in found.refusal


def test_a_large_file_is_not_read_whole(tmp_path):
    path = tmp_path / "large.ipynb"
    with path.open("wb") as file:
        file.truncate(10 * SIZE)
    assert len(load(path)) == SIZE + 1


def test_what_is_not_foreseen_becomes_a_refusal(monkeypatch):
    monkeypatch.setattr("course_lib.handin.rebuild.read", lambda data: 1 / 0)
    assert "ZeroDivisionError" in rebuild(b"{}", TINY).refusal


# ------------------------------------------------------------------------------------------------- form of the file


@EVERY
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("escaped", [True, False])
def test_every_encoding_of_unicode_is_read(name, encoding, escaped):
    release = RELEASES[name]
    found = built(json.dumps(submission(release), ensure_ascii=escaped).encode(encoding), release)
    assert solutions(found) == answers_of(release)
    assert len(found.repairs) == (not encoding.startswith("utf-8"))


def test_windows_1252_and_damaged_utf_8_are_read():
    text = json.dumps(submission(TINY), ensure_ascii=False)
    found = built(text.encode("cp1252"))
    assert solutions(found) == answers_of(TINY)
    assert found.repairs == ["The file was not in UTF-8; it was read as Windows-1252."]
    data = text.encode()
    at = data.index("naïve".encode()) + 2
    found = built(data[:at] + b"\xff" + data[at:])
    assert {key: text for key, text in solutions(found).items() if key != "double"} == {
        key: text for key, text in answers_of(TINY).items() if key != "double"
    }
    assert "\ufffd" in solutions(found)["double"]
    assert "damaged" in found.repairs[0]


def test_surrogates_and_nul_are_repaired():
    mine = submission(TINY)
    mine["cells"][3]["source"] = "def double(x):\n    return '\ud83d' + '\ude00\0'"
    mine["cells"].append(own("\udfff"))
    found = built(mine)
    for piece in found.pieces:
        piece.source.encode("utf-8")
    assert solutions(found)["double"] == "def double(x):\n    return '\ufffd' + '\ufffd'"
    assert found.repairs == [
        "2 cells held characters that cannot be written to a file (NUL, halves of surrogate pairs)."
    ]
    mine["cells"][3]["source"] = "def double(x):\n    return '\ud83d\ude00'"
    assert solutions(built(mine))["double"] == "def double(x):\n    return '😀'"


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "9" * 5_000, "-" + "1" * 400])
def test_numbers_that_json_should_not_hold(number):
    mine = submission(TINY)
    mine["cells"][3] |= {"execution_count": 12345, "metadata": mine["cells"][3]["metadata"] | {"x": 12345}}
    found = built(json.dumps(mine).replace("12345", number).encode())
    assert solutions(found) == answers_of(TINY)
    nbformat.validate(notebook_of(found, TINY, [{}] * 99))


def test_keys_that_are_there_twice_are_told():
    text = json.dumps(submission(TINY))
    found = built(text.replace('"source": "def mean', '"source": "lost", "source": "def mean').encode())
    assert solutions(found) == answers_of(TINY)
    assert "'source' more than once" in found.repairs[0]


def test_text_around_the_notebook_and_wrappings_are_taken_off():
    text = json.dumps(submission(TINY))
    for data in (
        f"\n\n {text}\n\0\0",
        f"{text}\n\x1a and more",
        json.dumps({"type": "notebook", "content": json.loads(text)}),
        json.dumps({"ipynb": json.loads(text)}),
        json.dumps(text),
        json.dumps({"content": text}),
    ):
        found = built(data.encode())
        assert solutions(found) == answers_of(TINY), data[:20]


@EVERY
def test_format_3_is_read(name):
    release = RELEASES[name]
    found = built(format_3(submission(release)), release)
    assert solutions(found) == answers_of(release)
    assert found.repairs == ["The notebook was in the old format 3."]
    assert found.tampered == []


ODD = [None, True, 7, -1.5, "", "x", [], {}, [None], ["a", 3], {"a": 1}, [[["x"]]], "\ud800"]


@pytest.mark.parametrize("key", ["cell_type", "id", "metadata", "source", "outputs", "execution_count", "attachments"])
def test_a_field_of_the_wrong_type_costs_no_other_cell_anything(key):
    for value in [*ODD, "absent"]:
        mine = submission(TINY)
        for place in (3, 4, 12):
            mine["cells"][place].pop(key, None)
            if value != "absent":
                mine["cells"][place][key] = value
        found = built(mine)
        wanted = {name: text for name, text in answers_of(TINY).items() if name != "double"}
        assert {name: text for name, text in solutions(found).items() if name != "double"} == wanted, value
        assert order(found) == list(range(16)), value
        if key not in ("source", "metadata"):
            assert solutions(found) == answers_of(TINY), value


# ------------------------------------------------------------------------------------------------------------ time


def _adversaries():
    line = "Linear = 1\n"
    mine = submission(RELEASES["ps01_backprop"])
    yield "many objects", b'{"nbformat": 4, "cells": [' + b"{}," * 6_000_000 + b"{}]}"
    yield "many lists", b'{"nbformat": 4, "cells": [' + b"[]," * 6_000_000 + b"[]]}"
    yield "fewer objects", b'{"nbformat": 4, "cells": [' + b"{}," * 1_900_000 + b"{}]}"
    yield "one long text", json.dumps({"nbformat": 4, "cells": [*mine["cells"], own(line * 1_500_000)]}).encode()
    yield "long lines", json.dumps({"nbformat": 4, "cells": [*mine["cells"], own("x" * 19_000_000)]}).encode()
    words = " ".join(f"w{k}" for k in range(600))
    yield "many cells", json.dumps({"nbformat": 4, "cells": [own(words)] * (CELLS - 1) + [mine["cells"][5]]}).encode()
    copies = [{**mine["cells"][5], "source": line * 300 + str(k)} for k in range(4_000)]
    yield "many copies", json.dumps({"nbformat": 4, "cells": copies}).encode()
    brackets = [{**mine["cells"][5], "source": "class Linear: x = " + "(" * 40_000 + str(k)} for k in range(400)]
    yield "deep code", json.dumps({"nbformat": 4, "cells": brackets}).encode()
    minus = [{**mine["cells"][5], "source": "class Linear: x = " + "-" * 40_000 + str(k)} for k in range(400)]
    yield "deep operators", json.dumps({"nbformat": 4, "cells": minus}).encode()
    locked = [{**mine["cells"][6], "source": "### BEGIN HIDDEN TESTS\n" * 800_000}]
    yield "markers", json.dumps({"nbformat": 4, "cells": [*mine["cells"][:6], *locked]}).encode()


@pytest.mark.slow
def test_no_file_takes_long():
    """About two seconds at the most on one core; the bound is wider, for machines that are busy."""
    for name, data in _adversaries():
        assert len(data) <= SIZE, name
        started = time.process_time()
        found = built_quickly(data)
        seconds = time.process_time() - started
        print(f"{name}: {seconds:.2f} s, {found.refusal or 'rebuilt'}")
        assert seconds < 6, name


def built_quickly(data: bytes) -> Rebuilt:
    return _rebuild(data, RELEASES["ps01_backprop"])
