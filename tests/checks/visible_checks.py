"""What must hold of the visible checks of every problem set. A set's tests say which hint belongs to which mistake."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import jupytext
import matplotlib.pyplot as plt
import pytest
import torch

from course_lib.authoring import mutants
from course_lib.authoring.mutants import Edit
from course_lib.checks.core import CheckFailed, told

ROOT = Path(__file__).resolve().parents[2]


class VisibleChecks:
    """Inherit as a Test class, with what is particular to a set as arguments of the class.

    Args:
        names: what the notebook imports before its tasks; each solution is executed with nothing else.
        of_mutants: (task, name of a wrong solution in tests/mutants, part of what the first failing check says to it).
            A part that ends in a full stop is the whole hint, or the end of the sentence.
        further: (task, (old, new), …, part): mistakes that have a hint, and no mutant of their own, as changes of the
            reference solution.
    """

    def __init_subclass__(
        cls,
        problem_set: str,
        checks: ModuleType,
        names: dict[str, Any],
        of_mutants: list[tuple[str, str, str]],
        further: list[tuple[Any, ...]],
    ) -> None:
        cls.names, cls.of_mutants, cls.further = names, of_mutants, further
        cls.checks, cls.tasks = checks, mutants.load_tasks(problem_set, ROOT)
        cls.notebook = jupytext.read(ROOT / "solutions" / problem_set / f"{problem_set}.py", fmt="py:percent")
        cls.solutions, cls.called = {}, {}  # by task: the reference; the visible checks that follow it, and of what
        for cell in cls.notebook.cells:
            grade = cell.metadata.get("nbgrader", {})
            if cell.cell_type == "code" and grade.get("solution"):
                cls.solutions[grade["grade_id"]] = cell.source
                cls.called[grade["grade_id"]] = []
            elif cell.cell_type == "code" and grade.get("grade"):
                cls.called[list(cls.called)[-1]] += re.findall(
                    r"^checks\.(check_\w+)\((\w+)\)$", cell.source, re.MULTILINE
                )
        assert all(cls.called.values()), "a task has no visible check"

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        wanted = set(metafunc.fixturenames)
        if {"mistake", "hint"} <= wanted:
            rows = [
                pytest.param(task, self.tasks[task].wrong[name], text, id=f"{task}-{name}")
                for task, name, text in self.of_mutants
            ]
            rows += [pytest.param(task, Edit(*edits), text, id=f"{task}-{text}") for task, *edits, text in self.further]
            metafunc.parametrize(("task", "mistake", "hint"), rows)
        elif {"task", "answer"} <= wanted:
            rows = [pytest.param(task, self.solutions[task], id=f"{task}-reference") for task in self.solutions]
            rows += [
                pytest.param(task, source, id=f"{task}-{name}")
                for task in self.tasks
                for name, source in self.tasks[task].right.items()
            ]
            metafunc.parametrize(("task", "answer"), rows)
        elif "task" in wanted:
            metafunc.parametrize("task", list(self.solutions))

    def first_failure(self, task: str, source: str | Edit) -> str:
        """What the first visible check that fails says; "" if all pass."""
        names = dict(self.names)
        exec(source.apply(self.solutions[task]) if isinstance(source, Edit) else source, names)
        for check, argument in self.called[task]:
            try:
                getattr(self.checks, check)(names[argument])
            except CheckFailed as failure:
                return str(failure)
        return ""

    def test_a_mistake_gets_its_own_hint(self, task: str, mistake: str | Edit, hint: str) -> None:
        said = self.first_failure(task, mistake)
        assert said.endswith((f"Likely mistake: {hint}", f" {hint}")) if hint.endswith(".") else hint in said, said

    def test_every_hint_has_a_mistake_that_gives_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given: set[str] = set()
        close, shape = self.checks.expect_close, self.checks.expect_shape

        def record_close(name: str, value: Any, expected: Any, **rest: Any) -> None:
            given.update(f"{hint}." for hint in told(rest.get("mistakes")))
            return close(name, value, expected, **rest)

        def record_shape(name: str, value: Any, expected: Any, hints: Any = None) -> None:
            given.update(f"{hint}." for hint in told(hints).values())
            return shape(name, value, expected, hints)

        monkeypatch.setattr(self.checks, "expect_close", record_close)
        monkeypatch.setattr(self.checks, "expect_shape", record_shape)
        assert all(self.first_failure(task, source) == "" for task, source in self.solutions.items())
        tested = [text for *_, text in (*self.of_mutants, *self.further)]
        assert len(given) > 30
        assert {hint for hint in given if not any(text.endswith(hint) for text in tested)} == set()

    def test_right_answers_pass(self, task: str, answer: str | Edit, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.first_failure(task, answer) == ""
        assert capsys.readouterr().out.count("passes its visible check") == len(self.called[task])

    def test_a_stub_prints_a_sentence_and_does_not_raise(self, task: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.first_failure(task, mutants.stub_of(self.solutions[task])) == ""
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == len(self.called[task])
        assert all(re.fullmatch(r"Task \d.* \(.*\) is not done yet\.", line) for line in lines), lines

    def test_points_and_minutes_are_what_the_text_says(self) -> None:
        cells = self.notebook.cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        graded = [cell.metadata["nbgrader"] for cell in cells if cell.metadata.get("nbgrader", {}).get("grade")]
        written = sum(grade["points"] for grade in graded if grade["solution"])
        automatic = sum(grade["points"] for grade in graded if not grade["solution"])
        answers = r"\((\d+) points\) and (?:one|two) written answers? \((\d+) points\): \*\*(\d+) points\*\*"
        assert re.findall(answers, text) == [(str(automatic), str(written), str(automatic + written))]
        rows = re.findall(r"^\| \d+ \|.*\| (\d+) \| (\d+) \|$", text, re.MULTILINE)
        said = re.findall(r"^\*(\d+) minutes, (\d+) points\*$", text, re.MULTILINE)
        assert rows == said[: len(rows)]
        assert sum(int(points) for _, points in rows) == automatic
        assert sum(int(points) for _, points in said) == automatic + written
        assert f"about {sum(int(minutes) for minutes, _ in said)} minutes" in text
        of_task = dict.fromkeys(self.solutions, 0)
        for cell in cells:
            grade = cell.metadata.get("nbgrader", {})
            if grade.get("solution"):
                task = grade["grade_id"]
            elif grade.get("grade"):
                of_task[task] += grade["points"]
        assert list(of_task.values()) == [int(points) for _, points in rows]

    @pytest.mark.filterwarnings("error")
    def test_no_cell_of_the_reference_warns(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """nbgrader takes all points of a test cell that writes to stderr."""
        plt.switch_backend("agg")
        monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
        names = {"__name__": "__main__"}
        torch.set_warn_always(True)  # at every place, not once in a process
        try:
            for cell in self.notebook.cells:
                if cell.cell_type == "code":
                    exec(compile(cell.source, cell.metadata.get("nbgrader", {}).get("grade_id", "cell"), "exec"), names)
                    names["BUDGET"] = "smoke"
        finally:
            torch.set_warn_always(False)
        captured = capsys.readouterr()
        assert captured.err == ""
        assert captured.out.count("passes its visible check") == sum(len(called) for called in self.called.values())
