"""Three students for each problem set, made from its notebooks: one right, one half-done, one wrong."""

from __future__ import annotations

import ast
import contextlib
import copy
import json
import os
import re
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.grading.course import Course, nbgrader_of, replace_folder, source_of, staging, tasks_of
from course_lib.grading.release import dump

RIGHT, HALF, WRONG = "ada", "ben", "eve"
MARKER = re.compile(r"^.*\b(BEGIN|END) SOLUTION\b.*\n?", re.MULTILINE)


def write(course: Course, folder: Path, names: Sequence[str] = ()) -> list[Path]:
    """Write FOLDER/STUDENT/NAME.ipynb for the three students and each problem set.

    Raises:
        CourseError: an unknown problem set, one that is not released, or a folder that holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CourseError(f"{folder} holds something already; give a folder that is new or empty.")
    made = {(student, name): nb for name in course.choose(names) for student, nb in students_of(course, name).items()}
    with staging(folder) as beside:
        for (student, name), notebook in made.items():
            path = beside / "samples" / student / f"{name}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dump(notebook), encoding="utf-8")
        replace_folder(beside / "samples", folder)
    return [folder / student / f"{name}.ipynb" for student, name in made]


def students_of(course: Course, name: str) -> dict[str, dict[str, Any]]:
    """What the three students hand in for `name`: {student: notebook}.

    RIGHT has the instructor's solutions, HALF has them in the first half of the autograded tasks, WRONG has a named
    mutant of each task (tests/mutants/NAME.py), or where there is none the solution with its results negated.
    """
    try:
        released = json.loads(course.release(name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CourseError(f"{name} is not released yet; do that first with course release {name}.") from None
    source = course.read_source(name)
    solutions = {
        nbgrader_of(cell)["grade_id"]: source_of(cell) for cell in source["cells"] if nbgrader_of(cell).get("solution")
    }
    coded = [task.name for task in tasks_of(source) if not task.written]
    right = {grade_id: MARKER.sub("", text) for grade_id, text in solutions.items()}
    half = {grade_id: right[grade_id] for grade_id in first_half(coded) if grade_id in right}
    wrong = {grade_id: mutant_of(course, name, grade_id, text) for grade_id, text in solutions.items()}
    for grade_id in set(wrong) - set(coded):  # written answers, and cells that no test marks
        wrong[grade_id] = right[grade_id]
    return {
        student: with_answers(released, answers) for student, answers in ((RIGHT, right), (HALF, half), (WRONG, wrong))
    }


def first_half(tasks: Sequence[str]) -> list[str]:
    """The first half of the tasks, rounded up."""
    return list(tasks[: (len(tasks) + 1) // 2])


def with_answers(released: dict[str, Any], answers: dict[str, str]) -> dict[str, Any]:
    """A copy of the students' notebook with these texts in its solution cells, by grade_id."""
    notebook = copy.deepcopy(released)
    for cell in notebook["cells"]:
        grade = nbgrader_of(cell)
        if grade.get("solution") and grade["grade_id"] in answers:
            cell["source"] = answers[grade["grade_id"]]
    return notebook


def mutant_of(course: Course, name: str, grade_id: str, solution: str) -> str:
    """A wrong text for a solution cell: the first mutant of the task, or the solution with its results negated."""
    if (course.root / "tests" / "mutants" / f"{name}.py").is_file():
        from course_lib.authoring.mutants import Edit, load_tasks

        task = load_tasks(name, course.root).get(grade_id)
        if task and task.wrong:
            wrong = next(iter(task.wrong.values()))
            return MARKER.sub("", wrong.apply(solution) if isinstance(wrong, Edit) else wrong)
    return negated(MARKER.sub("", solution))


def negated(code: str) -> str:
    """`code` with a minus before what every function returns. Text that is not Python stays as it is."""

    class Negate(ast.NodeTransformer):
        def visit_Return(self, node: ast.Return) -> ast.Return:
            return ast.Return(ast.UnaryOp(ast.USub(), node.value)) if node.value is not None else node

    try:
        return ast.unparse(ast.fix_missing_locations(Negate().visit(ast.parse(code))))
    except SyntaxError:
        return code


def expected(source: dict[str, Any], submission: dict[str, Any]) -> dict[str, float]:
    """What a submission should earn, by the grade_id of each test cell: the points, or 0 where the cell raises.

    Computed in this process without nbgrader and without a kernel: the submission's code, with the test cells of the
    instructor's notebook, executed cell by cell. Written answers are not in it. Only for notebooks of one's own.
    """
    tests = {nbgrader_of(cell).get("grade_id"): cell for cell in source["cells"] if nbgrader_of(cell).get("grade")}
    module = types.ModuleType("__main__")
    points: dict[str, float] = {}
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        for cell in submission["cells"]:
            if cell["cell_type"] != "code":
                continue
            grade = nbgrader_of(cell)
            test = tests.get(grade.get("grade_id")) if grade.get("grade") else None
            try:
                exec(compile(source_of(test or cell), str(grade.get("grade_id", "cell")), "exec"), module.__dict__)
                earned = True
            except Exception:
                earned = False
            if test and not grade.get("solution"):
                points[grade["grade_id"]] = float(nbgrader_of(test)["points"]) * earned
    return points
