"""`course run`: every way a notebook can end, and nothing left behind whatever way it was."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from course_lib.authoring.build import notebook_text
from course_lib.authoring.html import mathml, to_html
from course_lib.authoring.running import Run, Running, end_tree, run_all, run_command, table
from course_lib.authoring.tree import sources
from course_lib.errors import CourseError
from course_lib.outcomes import Outcome
from tests.authoring.conftest import HEADER

PARAMETERS = '\n# %% tags=["parameters"]\nBUDGET = "auto"\nSEED = 0\n'
NOTEBOOKS = {
    "01_good": r"""
# %% [markdown]
# $$\begin{aligned} a &= b \\ c &= d \end{aligned}$$ and $\mathbf{x}$, <b>bold</b>

# %%
import os, sys
from course_lib.outcomes import record
print(sys.executable, BUDGET, SEED, os.environ["OMP_NUM_THREADS"], os.environ["COURSE_HEADLESS"])
record("one", 1, at_least=1)
""",
    "02_missed": """
# %%
from course_lib.outcomes import record
record("met", 1, at_least=1)
record("missed", 0.25, at_least=0.5)
""",
    "03_raises": """
# %%
from course_lib.outcomes import record
record("before", 1, at_least=1)

# %%
raise ValueError("the sign is wrong")

# %%
record("after", 1, at_least=1)
""",
    "04_dies": """
# %%
import os, signal
os.kill(os.getpid(), signal.SIGKILL)
""",
}
SLEEPS = """
# %%
import pathlib, os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
pathlib.Path("started").write_text(f"{os.getpid()} {child.pid}")
time.sleep(300)
"""


def write_notebooks(folder: Path, texts: dict[str, str]) -> list[Run]:
    runs = []
    for name, text in texts.items():
        path = folder / f"{name}.py"
        path.write_text(HEADER + PARAMETERS + text)
        runs.append(Run(name, path))
    return runs


def alive(pids: list[int]) -> list[int]:
    """Those that still run; waits up to ten seconds for none to."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
        if not left:
            return []
        time.sleep(0.1)
    return left


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The four notebooks, executed two at a time by a user whose own kernel called python3 does not work."""
    root = tmp_path_factory.mktemp("course")
    broken = root / "home/kernels/python3"
    broken.mkdir(parents=True)
    (broken / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "python"}))
    (root / "build").mkdir()
    (root / "build/01_good.html").write_text("an old result")
    (root / "build/04_dies.html").write_text("an old result")
    runs = write_notebooks(root, NOTEBOOKS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(root / "home"))  # what Jupyter searches before anything else
        patch.setenv("OMP_NUM_THREADS", "7")
        run_all(runs, folder=root / "build", budget="smoke", seed=3, jobs=2, minutes=5)
    return {run.name: run for run in runs}, root / "build"


def output_of(path: Path) -> str:
    return "".join(
        "".join(output.get("text", []))
        for cell in json.loads(path.read_text())["cells"]
        for output in cell.get("outputs", [])
    )


def test_a_good_notebook_runs_in_this_python_with_its_parameters_and_one_thread(executed):
    runs, folder = executed
    run = runs["01_good"]
    assert (run.status, run.failed, run.message) == ("ok", False, "")
    assert [str(outcome) for outcome in run.outcomes] == ["✓ one: 1 (at least 1)"]
    assert run.cells == run.of == 4  # one more than written: papermill's parameters
    assert 10 * 2**20 < run.peak < 2**32
    assert output_of(folder / "01_good.ipynb").split() == [sys.executable, "smoke", "3", "1", "1"]


def test_the_html_stands_alone_and_hides_nothing(executed):
    page = (executed[1] / "01_good.html").read_text()
    assert "an old result" not in page
    assert "<math" in page and "<mtable" in page and "aligned" not in page
    assert "SEED" in page  # inputs are shown
    assert not re.search(r"<script[^>]*\bsrc=", page)
    assert 'src="http' not in page and 'src="//' not in page and '@import "http' not in page


def test_a_missed_outcome_fails_the_notebook(executed):
    run = executed[0]["02_missed"]
    assert run.status == "outcome missed" and run.failed
    assert [outcome.name for outcome in run.missed] == ["missed"]


def test_a_raising_cell_is_shown_and_stops_the_notebook(executed):
    runs, folder = executed
    run = runs["03_raises"]
    assert run.status == "raised" and run.failed
    assert run.message.startswith("Cell [4] raised ValueError.")
    assert "the sign is wrong" in run.message
    assert [outcome.name for outcome in run.outcomes] == ["before"]
    assert "the sign is wrong" in (folder / "03_raises.html").read_text()


def test_a_dying_kernel_is_reported_as_such(executed):
    run = executed[0]["04_dies"]
    assert run.status == "died" and run.failed
    assert "kernel died in cell [3]" in run.message


def test_nothing_half_written_is_left(executed):
    runs, folder = executed
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{name}{suffix}" for name in runs for suffix in (".html", ".ipynb")
    )


def test_the_table_shows_every_notebook(executed, capsys):
    from rich.console import Console

    Console(width=120).print(table(list(executed[0].values())))
    rows = capsys.readouterr().out.splitlines()
    assert rows[2].split()[0] == "02_missed" and "1 of 2" in rows[2] and "outcome missed" in rows[2]


@pytest.mark.parametrize(
    ("status", "exit_status"), [("ok", 0), ("raised", 1), ("outcome missed", 1), ("time limit", 1)]
)
def test_the_exit_status_and_the_page_to_open(small, monkeypatch, capsys, status, exit_status):
    def pretend(runs, *, folder, **_options):
        folder.mkdir(parents=True)
        for run in runs:
            run.status, run.outcomes = "ok", [Outcome("<b>", 1.0, at_least=0.5)]
        runs[-1].status = status

    monkeypatch.setattr("course_lib.authoring.running.run_all", pretend)
    assert run_command([], "smoke", 2, None, 0) == exit_status
    page = (small / "build/notebooks/index.html").read_text()
    assert 'href="01_first.html"' in page and 'href="02_second.html"' in page and "ps01_first" not in page
    assert "build/notebooks/index.html" in capsys.readouterr().out


def test_what_cannot_start_is_reported_and_an_old_result_does_not_pass_for_its_own(tmp_path, monkeypatch):
    (run,) = write_notebooks(tmp_path, {"01_good": NOTEBOOKS["01_good"]})
    (tmp_path / "build").mkdir()
    for suffix in (".html", ".ipynb"):
        (tmp_path / f"build/01_good{suffix}").write_text("an old result")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    run_all([run], folder=tmp_path / "build", budget="smoke", seed=0, jobs=1, minutes=5)
    assert (run.status, run.message) == ("died", "The process ended with status 1.")
    assert list((tmp_path / "build").iterdir()) == []


def test_the_time_limit_ends_the_kernel_and_its_children(tmp_path, monkeypatch):
    (run,) = write_notebooks(tmp_path, {"05_slow": SLEEPS})
    started = tmp_path / "build/started"
    poll = Running.poll

    def limited_once_it_sleeps(self):  # so that a busy machine does not fail this test
        if started.exists() and started.read_text().count(" "):
            self.limit = 0.001
        return poll(self)

    monkeypatch.setattr(Running, "poll", limited_once_it_sleeps)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    run_all([run], folder=tmp_path / "build", budget="smoke", seed=0, jobs=1, minutes=5)
    assert not list((tmp_path / "tmp").iterdir())
    assert run.status == "time limit" and run.failed
    assert "in cell [3]" in run.message
    assert alive([int(pid) for pid in started.read_text().split()]) == []
    assert not list((tmp_path / "build").glob(".*partial*"))


def wait_for(started: Path, process: subprocess.Popen) -> list[int]:
    """The processes below `process` once the notebook SLEEPS has started, the kernel and its child among them."""
    deadline = time.monotonic() + 90
    while not (started.exists() and started.read_text().count(" ")) and process.poll() is None:
        assert time.monotonic() < deadline, "the notebook did not start"
        time.sleep(0.1)
    pids = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    assert set(map(int, started.read_text().split())) <= set(pids)
    return pids


def test_control_c_leaves_no_kernel(small):
    (small / "notebooks/01_first.py").write_text(HEADER + PARAMETERS + SLEEPS)
    command = [sys.executable, "-m", "course_lib.cli", "run", "01_first", "--budget", "smoke"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        pids = wait_for(small / "build/notebooks/started", process)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
        assert alive(pids) == []
        assert process.returncode == 130
        assert "Interrupted; every notebook was stopped." in out and "Traceback" not in out
        assert not list((small / "build/notebooks").glob(".*partial*"))
    finally:
        end_tree(process.pid)


def test_a_worker_whose_parent_is_gone_ends_its_kernel(small):
    source = small / "notebooks/01_first.py"
    source.write_text(HEADER + PARAMETERS + SLEEPS)
    job = {"notebook": notebook_text(source), "output": str(small / "x.ipynb"), "parameters": {}, "cwd": str(small)}
    job["scratch"] = str(small / "scratch")
    (small / "scratch").mkdir()
    command = [sys.executable, "-m", "course_lib.authoring.worker"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        pids = wait_for(small / "started", process)
        process.stdin.close()  # what the system does for a parent that was killed
        process.wait(timeout=30)
        assert alive(pids) == []
        assert not (small / "scratch").exists()
    finally:
        end_tree(process.pid)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"names": ["01_fist"]}, "There is no notebook '01_fist'; did you mean 01_first"),
        ({"names": ["99_quantum"]}, "There is no notebook '99_quantum'; there are 01_first, 02_second, ps01_first."),
        ({"budget": "smok"}, "There is no budget 'smok'; did you mean smoke?"),
        ({"budget": "xyz"}, "choose one of auto, smoke, laptop, gpu, paper"),
        ({"jobs": 0}, "--jobs must be at least 1"),
        ({"timeout": 0.0}, "--timeout must be a positive number"),
        ({"timeout": float("nan")}, "--timeout must be a positive number"),
        ({"device": "cuda:99"}, "'cuda:99' was asked for"),
    ],
)
def test_bad_input_is_one_sentence_and_starts_nothing(small, arguments, sentence):
    given = {"names": [], "budget": "smoke", "jobs": 1, "timeout": None, "seed": 0, "device": "auto", **arguments}
    with pytest.raises(CourseError) as error:
        run_command(**given)
    assert sentence in str(error.value)
    assert not (small / "build").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(small):
    (small / "build").write_text("a file, not a folder")
    with pytest.raises(CourseError, match="Could not write to"):
        run_command(["01_first"], "smoke", 1, None, 0)


@pytest.mark.parametrize(
    "latex",
    [
        r"\frac{\partial L}{\partial w}",
        r"\min_G\max_D \mathbb{E}[\log D(x)]",
        r"\lVert x\rVert_2",
        r"\operatorname{softplus}",
    ],
)
def test_formulas_become_mathml(latex):
    converted = mathml(latex, block=False)
    assert converted.startswith("<math") and "\\" not in converted


def test_a_function_stands_apart_from_its_argument():
    assert '<mi>log</mi><mspace width="0.167em" /><mi>D</mi>' in mathml(r"\log D", block=False)
    assert "mspace" not in mathml(r"\log(D)", block=False)


def test_every_formula_of_the_course_becomes_mathml(repository):
    from nbconvert.filters.markdown_mistune import MarkdownWithMath

    import course_lib.authoring.html as html

    lost, count = [], 0

    class Renderer(html._Renderer):
        def block_math(self, body):
            nonlocal count
            count += 1
            if not mathml(body, block=True).startswith("<math"):
                lost.append(body)
            return ""

        inline_math = block_math

    for source in sources(repository):
        for cell in json.loads(notebook_text(source))["cells"]:
            if cell["cell_type"] == "markdown":
                MarkdownWithMath(renderer=Renderer(escape=False)).render("".join(cell["source"]))
    assert count > 100
    assert lost == []


@pytest.mark.parametrize("latex", [r"\left( a < b", r"\unheardof{a < b}"])
def test_a_formula_that_cannot_be_converted_is_shown_as_written(latex):
    assert mathml(latex, block=True) == f"<code>$${latex.replace('<', '&lt;')}$$</code>"


def test_what_a_reader_unfolds_stays_folded_and_boxes_are_drawn():
    text = "<details><summary>Answer</summary>\n\nhidden $x$\n\n</details>\n\n$$\\boxed{x}$$"
    page = to_html(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)]), "page")
    folded = page[page.index("<details>") : page.index("</details>")]
    assert "hidden" in folded
    assert "<math" in folded
    assert 'menclose[notation~="box"]' in page
    assert '<menclose notation="box">' in page
