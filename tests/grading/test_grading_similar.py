"""A copy is found although it was renamed, reformatted and broken; honest work of a class is not named."""

from __future__ import annotations

import json
import random
import re
import time

import tiny_course
from tiny_course import solution

from course_lib.authoring.mutants import load_tasks
from course_lib.grading.course import Course, nbgrader_of, source_of
from course_lib.grading.samples import with_answers
from course_lib.grading.similar import LINES, similar

STUB = "def {}(data, size):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
TASKS = ("first", "second", "third")
RELEASE = {
    "cells": [
        {"cell_type": "code", "id": "a", "metadata": {}, "source": "import numpy as np\nfrom tools import Layer"},
        *(json.loads(json.dumps(solution(name, STUB.format(name)))) for name in TASKS),
        json.loads(json.dumps(solution("why", "YOUR ANSWER HERE"))) | {"cell_type": "markdown"},
    ],
    "metadata": {},
    "nbformat": 4,
    "nbformat_minor": 5,
}
NAMES = [f"{a}{b}" for a in ("total", "part", "rest", "edge", "left") for b in ("", "_one", "_sum", "s", "_new")]
LIBRARY = ["np.sum", "np.mean", "np.cumsum", "np.max", "np.dot", "np.outer", "sorted", "len", "Layer"]


def code(chance: random.Random, lines: int = 25) -> str:
    """A function of so many statements, as one of a thousand students would write it."""
    known, body = ["data", "size"], []
    for _ in range(lines):
        one, two, new = chance.choice(known), chance.choice(known), chance.choice(NAMES)
        known.append(new)
        body.append(
            chance.choice(
                [
                    f"{new} = {chance.choice(LIBRARY)}({one}[{chance.randrange(9)}:]) {chance.choice('+-*/')} {two}",
                    f"{new} = [x {chance.choice('+-*')} {one} for x in {two} if x {chance.choice('<>')} {one}]",
                    f"for {new} in range({one}):\n        {two} {chance.choice('+-*')}= {new} ** {chance.randrange(9)}",
                    f"if {one} {chance.choice(['<', '>', '=='])} {two}:\n        {new} = {two}.reshape(-1, {one})",
                    f"{new} = {chance.choice(LIBRARY)}({one}, axis={chance.randrange(4)})",
                ]
            )
        )
    return "def TASK(data, size):\n    " + "\n    ".join([*body, f"return {known[-1]}"])


def notebook(answers: dict[str, str]) -> bytes:
    return json.dumps(with_answers(RELEASE, {k: v.replace("TASK", k) for k, v in answers.items()})).encode()


def a_class(count: int, seed: int = 0, lines: int = 25) -> dict[str, dict[str, str]]:
    chance = random.Random(seed)
    return {f"s{number:04d}": {name: code(chance, lines) for name in TASKS} for number in range(count)}


def found(answers: dict[str, dict[str, str]], **options) -> list[tuple[str, str]]:
    pairs = similar({who: notebook(texts) for who, texts in answers.items()}, RELEASE, **options).pairs
    return [pair.students for pair in pairs]


def renamed(text: str) -> str:
    """Another name for each variable, other layout, other comments."""
    for number, name in enumerate(sorted(NAMES, key=len, reverse=True)):
        text = re.sub(rf"\b{name}\b", f"my{number}", text)
    text = re.sub(r"\bx\b", "element", text)
    lines = text.split("\n")
    lines.insert(1, '    """My own work,\n    all of it."""')
    spaced = [line.replace(" = ", "=").replace(", ", ",   ") + "  # step" for line in lines[2:]]
    return "\n\n".join([*lines[:2], *spaced])


def test_students_who_worked_alone_are_not_named():
    result = similar({who: notebook(texts) for who, texts in a_class(60).items()}, RELEASE)
    assert (result.pairs, result.found, result.compared) == ([], 0, 60)


def test_a_copy_with_other_names_layout_and_comments_is_named_with_the_passages():
    answers = a_class(60)
    answers["thief"] = {name: renamed(text) for name, text in answers["s0007"].items()}
    result = similar({who: notebook(texts) for who, texts in answers.items()}, RELEASE)
    (pair,) = result.pairs
    assert pair.students == ("s0007", "thief")
    assert pair.share > 0.95
    assert set(pair.tasks) == set(TASKS)
    longest = pair.passages[0]
    assert longest.cell in TASKS
    theirs = answers["s0007"][longest.cell].replace("TASK", longest.cell)
    assert longest.text[0] in theirs
    assert longest.text[0].count("\n") > 20
    assert "element" in "".join(passage.text[1] for passage in pair.passages)
    assert all(passage.text[1].count("\n") <= LINES for passage in pair.passages)


def test_one_task_of_three_and_a_copy_with_a_few_changes():
    answers = a_class(60)
    answers["s0001"]["second"] = renamed(answers["s0030"]["second"])
    lines = answers["s0011"]["first"].split("\n")
    lines[4:4] = ["    wasted = 1"]
    lines[20:20] = ["    print(data.shape, size)"]
    answers["s0040"]["first"] = "\n".join(lines)
    result = similar({who: notebook(texts) for who, texts in answers.items()}, RELEASE)
    assert {pair.students: set(pair.tasks) for pair in result.pairs} == {
        ("s0001", "s0030"): {"second"},
        ("s0011", "s0040"): {"first"},
    }


def test_code_that_is_no_python_is_compared_as_well():
    answers = a_class(20)
    broken = answers["s0003"]["first"].replace("    return", "    return ((") + "\n  '''never closed\n!ls $HOME \\"
    answers["s0003"]["first"] = broken
    answers["s0009"]["first"] = renamed(broken)
    assert found(answers) == [("s0003", "s0009")]


def test_right_answers_to_a_short_task_are_no_copies_even_if_they_are_the_same():
    short = {
        "first": "def TASK(data, size):\n    twice = 2 * data\n    return twice[:size]",
        "second": "def TASK(data, size):\n    return np.sum(data, axis=0) / size",
        "third": "def TASK(data, size):\n    best = data[0]\n    for value in data:\n        best = max(best, value)\n"
        "    return best",
    }
    other = {name: text.replace("twice", "result").replace("best", "most") for name, text in short.items()}
    assert found({"ada": short, "bob": other, "eve": short}) == []


def test_right_solutions_of_a_real_problem_set_that_were_written_apart_are_not_named():
    name = "ps01_backprop"
    course = Course(tiny_course.REPOSITORY)
    released = json.loads(course.release(name).read_text())
    tasks = load_tasks(name, course.root)
    files = {}
    for kind in range(2):
        right = {task: list(cases.right.values()) for task, cases in tasks.items()}
        answers = {
            task: texts[kind] for task, texts in right.items() if isinstance(texts[min(kind, len(texts) - 1)], str)
        }
        files[f"right {kind}"] = json.dumps(with_answers(released, answers)).encode()
    source = course.read_source(name)
    solved = {nbgrader_of(cell).get("grade_id"): source_of(cell) for cell in source["cells"]}
    files["instructor"] = json.dumps(with_answers(released, {task: solved[task] for task in tasks})).encode()
    for known in (None, source):
        result = similar(files, released, known)
        assert (result.pairs, result.compared) == ([], 3)


def test_submissions_without_any_work_are_never_named():
    stub = json.dumps(RELEASE).encode()
    colab = json.loads(stub)
    for cell in colab["cells"]:
        cell["metadata"]["outputId"] = cell.pop("id")
    empty = notebook(dict.fromkeys(TASKS, ""))
    result = similar({"a": stub, "b": stub, "c": json.dumps(colab).encode(), "d": empty, "e": empty}, RELEASE)
    assert (result.pairs, result.compared) == ([], 0)


def test_what_much_of_the_class_has_tells_nothing_but_what_two_have_besides_does():
    answers = a_class(60)
    blog = code(random.Random(99), 60)  # everybody reads it
    for texts in list(answers.values())[:40]:
        texts["first"] = blog
    assert found(answers) == []
    answers["s0002"]["third"] = answers["s0031"]["third"]
    assert found(answers) == [("s0002", "s0031")]


def test_the_instructors_solution_tells_nothing():
    answers = a_class(8)
    model = code(random.Random(99), 60)
    answers["s0002"]["first"] = answers["s0005"]["first"] = model
    assert found(answers) == [("s0002", "s0005")]
    source = json.loads(notebook({"first": model}))
    assert found(answers, solution=source) == []


def test_written_answers_and_cells_of_ones_own_count():
    answers = a_class(10)
    chance = random.Random(3)
    essay = " ".join(chance.choice(["loss", "noise", "because", "the", "mode", "falls", "of"]) for _ in range(80))
    answers["s0001"]["why"], answers["s0002"]["why"] = essay, essay.upper()
    files = {who: notebook(texts) for who, texts in answers.items()}
    own = {"cell_type": "code", "metadata": {}, "source": code(chance), "outputs": [], "execution_count": None}
    for who in ("s0005", "s0006"):
        handed_in = json.loads(files[who])
        handed_in["cells"].insert(1, own)
        files[who] = json.dumps(handed_in).encode()
    pairs = similar(files, RELEASE).pairs
    assert {pair.students for pair in pairs} == {("s0001", "s0002"), ("s0005", "s0006")}
    assert {pair.passages[0].cell for pair in pairs} == {"why", "cell 2"}


def test_files_that_are_no_notebooks_are_passed_over():
    files = {who: notebook(texts) for who, texts in a_class(3).items()}
    files |= {"x": b"", "y": b"\xff\x00", "z": b'{"cells": [1, null]}', "w": b"[" * 50_000}
    result = similar(files, RELEASE)
    assert (result.pairs, result.compared) == ([], 3)
    assert similar({}, RELEASE).compared == 0


def test_a_huge_or_endlessly_repeating_text_does_not_hold_up_the_others():
    files = {who: notebook(texts) for who, texts in a_class(5).items()}
    for who, text in (
        ("a", "x = 1\n" * 300_000),
        ("b", "x = 1\n" * 300_000),
        ("c", '"' * 1_000_000),
        ("d", "((" * 400_000),
    ):
        files[who] = notebook({"first": text})
    begun = time.process_time()
    result = similar(files, RELEASE)
    assert time.process_time() - begun < 15
    assert all(len(text) < 10_000 for pair in result.pairs for p in pair.passages for text in p.text)


def test_the_result_does_not_depend_on_the_order_of_the_files():
    answers = a_class(12)
    answers["s0010"] = answers["s0001"]
    files = {who: notebook(texts) for who, texts in answers.items()}
    assert similar(files, RELEASE) == similar(dict(reversed(files.items())), RELEASE)


def test_the_cost_grows_with_the_number_of_submissions_not_of_pairs():
    files = {who: notebook(texts) for who, texts in a_class(240, lines=15).items()}
    similar(dict(list(files.items())[:60]), RELEASE)

    def seconds(count: int) -> float:
        begun = time.process_time()
        similar(dict(list(files.items())[:count]), RELEASE)
        return time.process_time() - begun

    few, many = min(seconds(60) for _ in range(2)), seconds(240)
    assert many < 8 * few  # 16 times the pairs
