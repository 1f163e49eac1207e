"""A small repository of its own for each test: two lectures, one assignment."""

from __future__ import annotations

from pathlib import Path

import pytest

HEADER = """\
# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---
"""

LECTURE = """
# %% [markdown]
# # 01 · First
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-organisation/networks-that-generate/blob/main/notebooks/01_first.ipynb)

# %% tags=["parameters"]
BUDGET = "auto"
SEED = 0

# %%
# !pip install "course_lib @ git+https://github.com/your-organisation/networks-that-generate@main"
from course_lib.outcomes import record

# %%
print(1 + 1)

# %%
print(1 + 1)


# %%
def double(x):
    return 2 * x


record("double of two", double(2), at_least=4.0)
"""

ASSIGNMENT = """
# %% [markdown]
# # A problem set

# %% nbgrader=SOLUTION_CELL
def double(x):
    ### BEGIN SOLUTION
    return x + x
    ### END SOLUTION


# %% nbgrader=TEST_CELL
assert double(2) == 4
### BEGIN HIDDEN TESTS
assert double(17.5) == 35
### END HIDDEN TESTS
""".replace(
    "SOLUTION_CELL",
    '{"grade": false, "grade_id": "double", "locked": false, "schema_version": 3, "solution": true, "task": false}',
).replace(
    "TEST_CELL",
    '{"grade": true, "grade_id": "double-test", "locked": true, "points": 3, '
    '"schema_version": 3, "solution": false, "task": false}',
)

PYPROJECT = """\
[project]
name = "course_lib"
version = "0.1.0"

[tool.course]
repository = "https://github.com/your-organisation/networks-that-generate"
branch = "main"
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a small course, which is also the current folder."""
    root = tmp_path / "course"
    for folder in ("notebooks", "solutions/ps01_first", "assignments"):
        (root / folder).mkdir(parents=True)
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "README.md").write_text("# A course\n")
    (root / "notebooks/01_first.py").write_text(HEADER + LECTURE)
    (root / "notebooks/02_second.py").write_text(
        HEADER + LECTURE.replace("First", "Second").replace("01_first", "02_second")
    )
    (root / "solutions/ps01_first/ps01_first.py").write_text(HEADER + ASSIGNMENT)
    monkeypatch.chdir(root)
    return root
