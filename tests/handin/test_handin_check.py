"""`course check` and `handin.check`: what a student is told before handing in."""

from __future__ import annotations

import json
import os
import sys
import time
import types
from pathlib import Path

import nbformat
import pytest

from course_lib import cli, handin
from course_lib.errors import CourseError
from course_lib.handin import checking, releases
from course_lib.handin.checking import run_cells
from tests.handin.handin_material import RELEASES, REPOSITORY, TINY_RIGHT, find, own, submission

TINY = RELEASES["tiny"]
AVAILABLE = releases.available  # which the tests replace


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    """A folder with nothing in it, a plain wide terminal, and the small problem set beside the real ones."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("COLUMNS", "200"), ("NO_COLOR", "1"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
    path = tmp_path / "release" / "ps00_tiny.ipynb"
    path.parent.mkdir()
    path.write_text(json.dumps(TINY))
    found = releases.available() | {"ps00_tiny": path}
    monkeypatch.setattr(releases, "available", lambda: found)
    return tmp_path


def save(notebook, name="ps00_tiny.ipynb") -> str:
    Path(name).write_text(json.dumps(notebook), encoding="utf-8")
    return name


def course(*arguments: str, monkeypatch, capfd) -> tuple[int, str, str]:
    """(exit status, what was printed, what was complained of) by `course` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["course", *arguments])
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capfd.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


@pytest.fixture
def check(monkeypatch, capfd):
    return lambda *arguments: course("check", *arguments, monkeypatch=monkeypatch, capfd=capfd)


def line(out: str, task: str) -> str:
    """The line of the table about a task, its columns apart by a bar."""
    return "|".join(next(row for row in out.splitlines() if row.split()[:1] == [task]).split())


# -------------------------------------------------------------------------------------------------- what is told


def test_a_finished_notebook_is_fine(check):
    status, out, err = check(save(submission(TINY, TINY_RIGHT)))
    assert (status, err) == (0, "")
    assert out.startswith("ps00_tiny: ps00_tiny.ipynb, as saved at ")
    assert line(out, "double") == "double|3|✓|passes|its|visible|checks"
    assert line(out, "why") == "why|2|✓|will|be|read|by|a|person"
    assert "Of 12 points: 10 in tasks that pass their visible checks, 2 in answers that a person reads." in out


def test_the_release_itself_is_not_done_yet(check):
    status, out, _ = check(save(TINY))
    assert status == 1
    for task in TINY_RIGHT:
        assert line(out, task).endswith("…|not|done|yet")
    assert "Of 12 points: 12 in tasks that are not done yet." in out
    assert "!" not in out and "✗" not in out


def test_every_kind_of_trouble_is_told(check):
    mine = submission(
        TINY,
        {
            "double": "def double(x):\n    return 3 * x",
            "mean": "def mean(values):\n    return values.average()",
            "largest": "def largest(values):\n    best = values[0]\n    raise NotImplementedError()",
            "sign": "def sign(x)\n    return 1",
        },
    )
    mine["cells"] += [own("1 / 0"), own("x = 'é[red]'; print(x)")]
    status, out, _ = check(save(mine))
    assert status == 1
    assert "double-test: Task 1 is wrong; think of the sign." in out
    assert "mean-test: AttributeError: 'list' object has no attribute 'average'" in out
    assert "largest-test is not done yet" in out
    assert "sign: SyntaxError: expected ':' (line 1)" in out
    assert "✗ The cell '1 / 0' raises ZeroDivisionError: division by zero" in out
    assert "6 in tasks that fail a check" in out


def test_a_task_with_hidden_tests_only_is_said_to_have_nothing_to_see(monkeypatch, check):
    release = json.loads(json.dumps(TINY))
    release["cells"][4]["source"] = ""
    releases.available()["ps00_tiny"].write_text(json.dumps(release))
    _, out, _ = check(save(submission(release, TINY_RIGHT)))
    assert "hidden tests will judge it" in line(out, "double").replace("|", " ")
    assert "3 in tasks that only hidden tests will judge" in out


def test_damage_is_told_and_tests_are_the_problem_sets_own(check):
    mine = submission(TINY, {**TINY_RIGHT, "double": "def double(x):\n    return 0"})
    mine["cells"][4]["source"] = "assert True"
    mine["cells"][13]["metadata"] = {}
    del mine["cells"][6]
    status, out, _ = check(save(mine))
    assert status == 1
    assert "✗ The test cell 'double-test' was not as released (it held 'assert True')" in out
    assert line(out, "double").startswith("double|3|✗|double-test:")
    assert "! The cell 'mean' was missing and counts as not done." in out
    assert "! The cell 'sign' had lost nbgrader's marks and was recognised by what it holds." in out
    assert line(out, "sign").endswith("passes|its|visible|checks")
    assert "--repair" in out


def test_nothing_is_run_when_not_asked(check):
    mine = submission(TINY, TINY_RIGHT)
    mine["cells"].append(own("open('ran', 'w')"))
    status, out, _ = check(save(mine), "--no-run")
    assert status == 0
    assert not Path("ran").exists()
    assert "10 in tasks that are answered" in out


# -------------------------------------------------------------------------------------------------------- repair


def test_a_repaired_copy_is_written_once_and_is_fine(check):
    mine = submission(TINY, TINY_RIGHT)
    mine["cells"][3] |= {"execution_count": 5, "outputs": [nbformat.v4.new_output("stream", text="kept")]}
    mine["cells"].insert(4, own("y = double(2)"))
    for cell in mine["cells"]:
        cell["metadata"] = {}
    name = save(mine)
    before = Path(name).read_bytes()
    status, out, _ = check(name, "--repair", "fixed.ipynb")
    assert status == 1
    assert "The repaired notebook is fixed.ipynb" in out
    assert Path(name).read_bytes() == before
    fixed = json.loads(Path("fixed.ipynb").read_text(encoding="utf-8"))
    nbformat.validate(fixed)
    assert fixed["cells"][3]["outputs"][0]["text"] == "kept"
    assert fixed["cells"][4]["source"] == "y = double(2)"
    assert check("fixed.ipynb", "--assignment", "ps00_tiny")[0] == 0

    written = Path("fixed.ipynb").read_bytes()
    status, _, err = check(name, "--repair", "fixed.ipynb")
    assert (status, Path("fixed.ipynb").read_bytes()) == (2, written)
    assert "fixed.ipynb is there already" in err
    status, out, _ = check("fixed.ipynb", "--repair", "again.ipynb")
    assert "no copy was written" in out and not Path("again.ipynb").exists()
    assert "Cannot write" in check(name, "--no-run", "--repair", "nowhere/fixed.ipynb")[2]


# ------------------------------------------------------------------------------------------------ what cannot be


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not a notebook", "it is not JSON"),
        (b"", "it is empty"),
        (b'{"nbformat": 4, "cells": []}', "is not recognised as one of the problem sets ps0"),
        (None, "There is no file notes.ipynb"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(check, content, words):
    if content is not None:
        Path("notes.ipynb").write_bytes(content)
    status, out, err = check("notes.ipynb")
    assert (status, out) == (2, "")
    assert words in err and "Traceback" not in err


def test_a_folder_is_no_notebook(check):
    Path("folder.ipynb").mkdir()
    assert check("folder.ipynb")[0] == 2


# -------------------------------------------------------------------------------------------------- the releases


def test_the_problem_set_is_recognised_by_its_cells_then_by_its_name():
    def recognised(notebook, called="x.ipynb", name=None):
        return releases.release_of(json.dumps(notebook).encode(), called, name)[0]

    for name in ("ps01_backprop", "ps08_gan"):
        assert recognised(submission(RELEASES[name]), "Copy of Untitled (3).ipynb") == name
    assert recognised({"nbformat": 4, "cells": []}, "my_ps08_gan (1).ipynb") == "ps08_gan"
    assert recognised(submission(TINY), name="ps01_backprop") == "ps01_backprop"
    with pytest.raises(CourseError, match="There is no problem set 'ps99'"):
        recognised(TINY, name="ps99")


def test_the_librarys_copies_come_before_the_clones_own(tmp_path):
    package = tmp_path / "clone" / "course_lib"
    folder = tmp_path / "clone" / "assignments" / "ps01_a"
    folder.mkdir(parents=True)
    (folder / "ps01_a.ipynb").write_text("{}")
    (folder / "notes.ipynb").write_text("{}")
    with pytest.raises(CourseError, match="holds no problem sets"):
        AVAILABLE(package)
    (tmp_path / "clone" / "pyproject.toml").touch()
    assert AVAILABLE(package) == {"ps01_a": folder / "ps01_a.ipynb"}
    (package / "handin" / "released").mkdir(parents=True)
    (package / "handin" / "released" / "ps02_b.ipynb").write_text("{}")
    assert list(AVAILABLE(package)) == ["ps02_b"]
    with pytest.raises(CourseError, match="cannot be read"):
        releases.read_release(package / "handin" / "released" / "ps02_b.ipynb")


# ----------------------------------------------------------------------------------------------------- the running


def kinds(*sources: str, limit: float = 30.0) -> list[str]:
    return [ran.kind for ran in run_cells(sources, Path.cwd(), limit)]


def test_cells_run_as_in_a_notebook():
    ran = run_cells(
        [
            "import os\nx = 1",
            "%timeit -n1 -r1 x",
            "!echo $((40 + 2)) > said",
            "display(x)",
            "x + 1",
            "import asyncio\nawait asyncio.sleep(0)",
            "os.write(1, b'to the descriptor'); print('printed')",
            "raise SystemExit",
            "print(open('said').read(), os.environ['COURSE_BUDGET'], os.environ['MPLBACKEND'])",
        ],
        Path.cwd(),
    )
    assert [one.kind for one in ran] == ["", "", "", "", "", "", "", "SystemExit", ""]
    assert ran[6].output.startswith("printed")
    assert ran[8].output.split() == ["42", os.environ.get("COURSE_BUDGET", "smoke"), "Agg"]


def test_a_cell_over_its_limit_is_interrupted_and_the_next_ones_run():
    began = time.monotonic()
    found = kinds("import time; time.sleep(60)", "while True: pass", "x = 1", "raise KeyboardInterrupt", limit=1.0)
    assert found == ["time limit", "time limit", "", "KeyboardInterrupt"]
    assert time.monotonic() - began < 30


def test_a_cell_that_cannot_be_interrupted_is_the_last(monkeypatch):
    monkeypatch.setattr(checking, "GRACE", 1.0)
    stubborn = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    ran = run_cells(["x = 1", stubborn, "x = 2"], Path.cwd(), 1.0)
    assert [one.kind for one in ran] == ["", "time limit", "not run"]
    assert "had to be ended by force" in ran[2].error


def test_a_cell_that_ends_the_process_is_named():
    ran = run_cells(["x = 1", "import os; os._exit(0)", "x = 2", "x = 3"], Path.cwd())
    assert [one.kind for one in ran] == ["", "crash", "not run", "not run"]
    assert ran[2].error == "It was not run, because the cell 'import os; os._exit(0)' ended the process."


def test_endless_output_is_cut_and_strange_errors_are_told():
    class_ = "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd"
    ran = run_cells(["for k in range(20_000): print('y' * 80)", class_, "raise ValueError('\\ud800')"], Path.cwd())
    assert len(ran[0].output) <= 200_000
    assert [one.kind for one in ran] == ["", "Odd", "ValueError"]


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="process groups are POSIX")
def test_nothing_a_cell_started_is_left():
    run_cells(["import subprocess\nopen('pid', 'w').write(str(subprocess.Popen(['sleep', '60']).pid))"], Path.cwd())
    pid = int(Path("pid").read_text())
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().split()[2] if Path("/proc").is_dir() else ""
            os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return
        if state == "Z":
            return
        time.sleep(0.1)
    raise AssertionError("a child of the notebook is still there")


def test_a_student_needs_nothing_of_the_instructors(monkeypatch, tmp_path, check):
    packages = ["nbformat", "nbgrader", "jupyter_client", "ipykernel", "nbconvert", "jupytext", "psutil", "jsonschema"]
    (tmp_path / "without").mkdir()
    (tmp_path / "without/sitecustomize.py").write_text(f"import sys; sys.modules.update(dict.fromkeys({packages}))")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "without"))
    for name in packages:
        monkeypatch.setitem(sys.modules, name, None)
    assert check(save(submission(TINY, TINY_RIGHT)))[0] == 0
    assert kinds("import nbformat")[0] == "ModuleNotFoundError"


@pytest.mark.slow
def test_a_half_done_real_problem_set(check):
    from course_lib.grading.course import Course
    from course_lib.grading.samples import HALF, students_of

    name = save(students_of(Course.find(REPOSITORY), "ps01_backprop")[HALF], "ps01_backprop.ipynb")
    status, out, _ = check(name)
    assert status == 1
    assert line(out, "linear") == "linear|4|✓|passes|its|visible|checks"
    assert line(out, "train").endswith("…|not|done|yet")
    assert "✗" not in out


# ----------------------------------------------------------------------------------------------- from a notebook


def test_the_same_from_a_cell(capsys):
    handin.check(save(submission(TINY, TINY_RIGHT)), run=False)
    assert "Of 12 points" in capsys.readouterr().out
    with pytest.raises(CourseError, match=r"Only on Colab .* handin.check\(\"ps01_backprop.ipynb\"\)"):
        handin.check()


def test_a_check_inside_a_notebook_that_is_checked_does_nothing(check):
    mine = submission(TINY, TINY_RIGHT)
    mine["cells"].append(own("from course_lib import handin\nhandin.check()\nhandin.check('ps00_tiny.ipynb')"))
    assert check(save(mine))[0] == 0


@pytest.fixture
def colab(monkeypatch):
    """A Colab whose page answers what the test says."""
    asked = []

    def answers(with_):
        def blocking_request(request, request_body="", timeout_sec=5, parent=None):
            asked.append((request, timeout_sec))
            if isinstance(with_, Exception):
                raise with_
            return with_

        message = types.SimpleNamespace(blocking_request=blocking_request)
        package = types.ModuleType("google.colab")
        package._message = message
        monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
        monkeypatch.setitem(sys.modules, "google.colab", package)
        return asked

    return answers


def test_on_colab_the_open_notebook_is_checked(colab, capsys):
    mine = submission(TINY, TINY_RIGHT)
    mine["metadata"]["colab"] = {"name": "Copy of ps00_tiny.ipynb"}
    del mine["cells"][find(mine, "sign")]
    asked = colab({"ipynb": mine})
    handin.check()
    out = capsys.readouterr().out
    assert asked[0][0] == "get_ipynb"
    assert out.startswith("ps00_tiny: Copy of ps00_tiny.ipynb, as it is now")
    assert "The cell 'sign' was missing and counts as not done." in out
    handin.check(repair="fixed.ipynb", run=False)
    assert find(json.loads(Path("fixed.ipynb").read_text()), "sign") == 13


@pytest.mark.parametrize("answer", [None, {}, {"ipynb": None}, "x", RuntimeError("gone")])
def test_a_colab_that_does_not_answer_is_told(colab, answer):
    colab(answer)
    with pytest.raises(CourseError, match="run this cell again"):
        handin.check()
