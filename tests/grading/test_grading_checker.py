"""One submission, graded by `grade_one`: what runs where, what a failure costs, what is kept and what is not."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import matplotlib
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from needs import needs_sandbox
from tiny_course import CHECK_ALOUD, marks, solution
from tiny_course import test as graded

from course_lib.errors import CourseError
from course_lib.grading.checker import grade_one
from course_lib.grading.sandbox import box
from course_lib.grading.workers import checkers

pytestmark = needs_sandbox

LIMITS = {**box.LIMITS, "question": 4.0, "submission": 30.0}
SETUP = f"import numpy as np\nimport torch\n{CHECK_ALOUD}"
STUB = "### BEGIN SOLUTION\n    pass\n    ### END SOLUTION"


def hidden(visible: str, secret: str) -> str:
    return f"{visible}\n### BEGIN HIDDEN TESTS\n{secret}\n### END HIDDEN TESTS"


def notebook() -> Any:
    """The instructor's: three functions, a demonstration, a locked cell that uses one of them, a written answer."""
    cells = [
        new_markdown_cell("# Three", metadata=marks("title", locked=True)),
        new_code_cell(SETUP),
        solution("double", "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION"),
        graded(
            "double-test",
            2,
            hidden("check(1, lambda: double(3) == 6)", "assert double(-17) == -34, 'secret-seventeen'"),
        ),
        new_code_cell("demonstration = 'shown'\nprint('a demonstration ran')"),
        solution(
            "mean",
            "def mean(values):\n    ### BEGIN SOLUTION\n    return sum(values) / len(values)\n    ### END SOLUTION",
        ),
        graded("mean-test", 2, hidden("check(2, lambda: mean([1, 3]) == 2)", "assert mean([23]) == 23")),
        new_code_cell(
            "means = [mean([k, k + 2]) for k in range(3)]\nprint(means)", metadata=marks("apply", locked=True)
        ),
        graded("apply-test", 1, hidden("assert means[0] == 1", "assert means == [1, 2, 3]")),
        solution("scale", "def scale(x, factor):\n    ### BEGIN SOLUTION\n    return x * factor\n    ### END SOLUTION"),
        graded(
            "scale-test",
            3,
            hidden(
                "check(3, lambda: scale(torch.ones(2), 3).sum() == 6)",
                "x = torch.randn(4)\ny = scale(x, 2.0)\nassert torch.equal(y, 2 * x)\n"
                "x = torch.ones(3, requires_grad=True)\nscale(x, 5.0).sum().backward()\nassert (x.grad == 5).all()",
            ),
        ),
        solution("parts", "def parts():\n    ### BEGIN SOLUTION\n    return 4\n    ### END SOLUTION"),
        graded("parts-test", 4, "value = parts()\nvalue"),
        new_markdown_cell("Because.", metadata=marks("why", grade=True, solution=True, points=2)),
    ]
    return new_notebook(cells=cells)


ANSWERS = {
    "double": "def double(x):\n    return 2 * x",
    "mean": "def mean(values):\n    return sum(values) / len(values)",
    "scale": "def scale(x, factor):\n    return x * factor",
    "parts": "def parts():\n    return 4",
}


def release_of(source: Any) -> Any:
    """What students get, as nbgrader makes it."""
    from course_lib.authoring.mutants import stub_of

    released = nbformat.reads(nbformat.writes(source), as_version=4)
    for cell in released.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = stub_of(cell.source) if cell.cell_type == "code" else "YOUR ANSWER HERE"
        elif "### BEGIN HIDDEN" in cell.source:
            cell.source = cell.source.split("\n### BEGIN HIDDEN")[0]
    return released


def submission(own: dict[int, str] | None = None, **answers: str) -> bytes:
    """Every task answered, by ANSWERS unless given; `own` are cells put before the cell of that index."""
    made = release_of(notebook())
    for cell in made.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in ANSWERS:
            cell.source = answers.get(name, ANSWERS[name])
        elif name in answers:
            cell.source = answers[name]
    for place, text in sorted((own or {}).items(), reverse=True):
        made.cells.insert(place, new_code_cell(text))
    return nbformat.writes(made).encode()


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    with box.Sandbox(wait=False) as sandbox, checkers(1, tmp_path_factory.mktemp("grading"), 300, sandbox) as pool:
        yield pool


def job(data: bytes, **options: Any) -> dict[str, Any]:
    source = notebook()
    return {
        "student": "ada",
        "assignment": "three",
        "data": data,
        "source": nbformat.writes(source).encode(),
        "release": nbformat.writes(release_of(source)).encode(),
        "seed": "00ff",
        "sandbox": "bubblewrap",
        "only": None,
        "limits": LIMITS,
        **options,
    }


@pytest.fixture
def grade(worker):
    def run(data: bytes, **options: Any) -> dict[str, Any]:
        result = worker.ask(grade_one, job(data, **options))
        if result["status"] == "graded":
            nbformat.validate(nbformat.reads(result["notebook"].decode(), as_version=4))
        return result

    return run


def scores(result: dict[str, Any]) -> dict[str, float]:
    assert result["status"] == "graded", result["reason"]
    return {name: mark["score"] for name, mark in result["cells"].items()}


FULL = {"double-test": 2, "mean-test": 2, "apply-test": 1, "scale-test": 3, "parts-test": 4, "why": 0}


def outputs(result: dict[str, Any]) -> str:
    """All that the graded notebook shows, but for what hidden tests said."""
    found = []
    for cell in json.loads(result["notebook"])["cells"]:
        for output in cell.get("outputs", []):
            found.append(output.get("text", "") or json.dumps(output))
    return "".join(found)


def test_right_answers_get_every_point_and_a_written_one_waits(grade):
    result = grade(submission(why="Because of the sum."))
    assert scores(result) == FULL
    assert result["cells"]["why"]["manual"]
    assert result["repairs"] == result["tampered"] == []
    assert "Task 1 passes." in outputs(result)
    assert "[1.0, 2.0, 3.0]" in outputs(result)


def test_a_written_answer_that_is_the_stub_waits_for_nobody(grade):
    assert not grade(submission())["cells"]["why"]["manual"]


def test_a_loop_costs_its_own_question_only(grade):
    result = grade(submission(mean="def mean(values):\n    while True:\n        pass"))
    assert scores(result) == {**FULL, "mean-test": 0, "apply-test": 0}
    assert result["cells"]["mean-test"]["failed"] == "time limit"
    assert "4 seconds" in result["cells"]["mean-test"]["message"]


@pytest.mark.parametrize(
    "end",
    [
        "import os; os._exit(0)",
        "import os, signal; os.kill(1, signal.SIGKILL); os.kill(os.getpid(), signal.SIGABRT); os._exit(3)",
        "import ctypes; ctypes.string_at(0)",
        "import sys; sys.exit(0)",
        "raise KeyboardInterrupt",
    ],
    ids=["exits", "kills itself", "segmentation fault", "sys.exit", "interrupts"],
)
def test_code_that_ends_its_process_costs_its_own_question_only(grade, end):
    result = grade(submission(mean=f"def mean(values):\n    {end}"))
    assert scores(result) == {**FULL, "mean-test": 0, "apply-test": 0}


def test_a_cell_that_never_ends_is_stopped_and_the_others_count(grade):
    result = grade(submission({5: "import time\nprint('before')\ntime.sleep(1000)"}))
    assert scores(result) == FULL
    assert "This cell was stopped" in outputs(result)
    assert "before" in outputs(result)


def test_memory_is_bounded(grade):
    limits = {**LIMITS, "memory": 300_000_000}
    greedy = "def mean(values):\n    return len(bytearray(1_000_000_000))"
    assert scores(grade(submission(mean=greedy), limits=limits)) == {**FULL, "mean-test": 0, "apply-test": 0}


def test_processes_are_bounded_together(grade):
    forks = (
        "import os, time\ndef mean(values):\n    for _ in range(6):\n        if os.fork() == 0:\n"
        "            held = b'x' * 150_000_000\n            time.sleep(60)\n    time.sleep(3)\n    return 2"
    )
    result = grade(submission(mean=forks), limits={**LIMITS, "memory": 300_000_000})
    mark = result["cells"]["mean-test"]
    if os.geteuid() == 0:  # the kernel would not count root's processes, so that there are none
        assert "BlockingIOError" in mark["message"]
    else:
        assert mark["failed"] == "memory"
    assert scores(result) == {**FULL, "mean-test": 0, "apply-test": 0}


def test_a_fork_bomb_slows_nobody_down(grade):
    bomb = "import os\ndef mean(values):\n    while True:\n        try:\n            os.fork()\n"
    bomb += "        except OSError:\n            pass"
    result = grade(submission(mean=bomb))
    assert scores(result) == {**FULL, "mean-test": 0, "apply-test": 0}
    began = time.monotonic()
    assert scores(grade(submission())) == FULL
    assert time.monotonic() - began < 10


def test_threads_are_allowed(grade):
    threads = (
        "from concurrent.futures import ThreadPoolExecutor\ndef mean(values):\n"
        "    with ThreadPoolExecutor(2) as pool:\n        return sum(pool.map(float, values)) / len(values)"
    )
    assert scores(grade(submission(mean=threads))) == FULL


def test_the_whole_submission_is_bounded_too(grade):
    began = time.monotonic()
    slow = "import time\ndef {}:\n    time.sleep(3)\n    raise ValueError"
    answers = {name: slow.format(head) for name, head in {"double": "double(x)", "mean": "mean(v)"}.items()}
    own = {place: "import time; time.sleep(3)" for place in (3, 5, 9)}
    result = grade(submission(own, **answers), limits={**LIMITS, "submission": 8.0})
    assert time.monotonic() - began < 15
    assert result["cells"]["parts-test"]["failed"] == "time limit"
    assert "the whole submission" in result["cells"]["parts-test"]["message"]


def test_what_the_tests_use_cannot_be_redefined(grade):
    own = (
        "def check(task, passes):\n    print('forged')\n"
        "import builtins\nbuiltins.sum = lambda v: 0\ntorch.equal = lambda *a: True\nmeans = [1, 2, 3]"
    )
    result = grade(
        submission({2: own}, double="def double(x):\n    return x", scale="def scale(x, factor):\n    return x")
    )
    assert scores(result) == {**FULL, "double-test": 0, "mean-test": 0, "apply-test": 0, "scale-test": 0}
    assert "forged" not in outputs(result)


def test_helpers_in_cells_of_their_own_count(grade):
    data = submission({2: "def twice(x):\n    return x + x"}, double="def double(x):\n    return twice(x)")
    assert scores(grade(data)) == FULL


def test_a_demonstration_runs_only_where_something_needs_it(grade):
    assert "a demonstration ran" not in outputs(grade(submission()))
    needs = grade(submission(mean="def mean(values):\n    assert demonstration\n    return sum(values) / len(values)"))
    assert scores(needs) == FULL
    assert "a demonstration ran" in outputs(needs)


def test_output_is_kept_from_visible_checks_and_not_from_hidden_tests(grade):
    seen = "seen = []\ndef double(x):\n    seen.append(x)\n    print('doubling', seen)\n    return 2 * x"
    result = grade(submission({5: "print('so far', seen)"}, double=seen))
    assert scores(result) == FULL
    assert "doubling [3]" in outputs(result)
    assert "so far [3]" in outputs(result)
    assert "-17" not in outputs(result)


def test_a_failed_hidden_test_says_nothing_of_its_data_to_the_student(grade):
    result = grade(submission(double="def double(x):\n    return abs(2 * x)"))
    mark = result["cells"]["double-test"]
    assert (mark["score"], mark["failed"]) == (0, "hidden test")
    assert "seventeen" not in mark["message"]
    assert "seventeen" in mark["detail"]


def test_a_failed_visible_check_says_why(grade):
    mark = grade(submission(double="def double(x):\n    return -2 * x"))["cells"]["double-test"]
    assert mark["failed"] == "visible check"
    assert "Task 1 is wrong; think of the sign." in mark["message"]


def test_warnings_are_no_mistakes(grade):
    warns = "import sys, warnings\ndef double(x):\n    warnings.warn('careful')\n    print('hm', file=sys.stderr)\n"
    warns += "    return 2 * x"
    assert scores(grade(submission(double=warns))) == FULL


def test_a_number_at_the_end_of_a_test_is_partial_credit(grade):
    assert scores(grade(submission(parts="def parts():\n    return 2.5")))["parts-test"] == 2.5
    assert scores(grade(submission(parts="def parts():\n    return 1e9")))["parts-test"] == 4
    assert scores(grade(submission(parts="def parts():\n    return float('nan')")))["parts-test"] == 0


def test_changing_the_data_of_a_hidden_test_gains_nothing(grade):
    cheat = "def scale(x, factor):\n    x.data.zero_()\n    return 0 * x if factor != 3 else torch.ones(2) * 3"
    assert scores(grade(submission(scale=cheat)))["scale-test"] == 0


def test_only_some_tests(grade):
    result = grade(submission(), only=["mean-test"])
    assert {name for name, mark in result["cells"].items() if not name.startswith("why")} == {"mean-test"}


def test_much_output_is_cut_and_harmless(grade):
    result = grade(submission(double="def double(x):\n    print('y' * 50_000_000)\n    return 2 * x"))
    assert scores(result) == FULL
    assert len(result["notebook"]) < 1_000_000
    assert "more bytes were printed" in outputs(result)


def test_the_list_of_fonts_is_looked_for_where_matplotlib_keeps_it():
    command = box._command("bwrap", 3)
    assert command[command.index("/fonts") - 1] == matplotlib.get_cachedir()


def test_a_course_in_a_folder_that_the_sandbox_empties_is_one_sentence(monkeypatch, tmp_path_factory):
    monkeypatch.setattr(box, "SCRATCH", (*box.SCRATCH, str(tmp_path_factory.getbasetemp())))
    monkeypatch.setattr(box.sys, "prefix", str(tmp_path_factory.mktemp("environment")))
    with pytest.raises(CourseError, match="elsewhere"):
        box._command("bwrap", 3)


@pytest.mark.parametrize("kind", ["bubblewrap", "none"])
def test_another_system_than_linux_is_told_where_to_grade(monkeypatch, kind):
    monkeypatch.setattr(box.sys, "platform", "darwin")
    with pytest.raises(CourseError, match="WSL"):
        box.Sandbox(kind)


def test_a_worker_of_a_sandbox_that_was_killed_is_replaced():
    with box.Sandbox() as sandbox:
        _, worker = sandbox.worker()
        assert worker.is_alive()
        sandbox._started.kill()
        worker.join(10)
        assert not worker.is_alive()
        _, another = sandbox.worker()
        assert another.is_alive()
        another.kill()
        another.join(10)
        assert not another.is_alive()


def test_students_code_reaches_no_process_of_the_grader(grade):
    search = (
        "import os\nfound = []\nfor process in range(2, 5000):\n    try:\n        os.kill(process, 0)\n"
        "    except ProcessLookupError:\n        continue\n    found.append(process)\n"
        "print('found', found, os.getpid())"
    )
    assert "found [] 1" in outputs(grade(submission({3: search})))


def test_without_a_sandbox_the_result_says_so(tmp_path):
    with box.Sandbox("none", wait=False) as sandbox, checkers(1, tmp_path, 300, sandbox) as pool:
        result = pool.ask(grade_one, job(submission(), sandbox="none"))
    assert scores(result) == FULL
    assert result["sandbox"] == "none"


def test_a_file_that_is_no_notebook_is_refused_with_a_reason(grade):
    result = grade(b"<html>please sign in</html>")
    assert result["status"] == "refused"
    assert "notebook" in result["reason"]
