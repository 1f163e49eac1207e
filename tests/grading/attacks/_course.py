"""The problem set that is attacked: each kind of thing that crosses the bridge, in a task of a few lines.

Arrays whose expected value is computed after the call, a module with gradients, an object and a function of the tests
that are passed on, a model that is trained in place, a random generator, a dictionary. Hidden data hold numbers of nine
digits, drawn from the submission's secret, so that a single one that leaks is recognised.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from tiny_course import CHECK_ALOUD, marks, solution
from tiny_course import test as graded

NAME = "ps00_attacked"
SEED = "0123456789abcdef"
SEEDS = range(1, 9)  # of the hidden tests, one for each
MARK = "secret-"  # begins every string that only hidden tests hold

SETUP = f"""import numpy as np
import torch
from torch import nn
from course_lib.checks.core import fresh
{CHECK_ALOUD}
def numbers(seed, size=None):
    return np.random.default_rng(fresh(seed)).integers(10**8, 10**9, size)"""

TASKS = {  # grade_id: answer, points, visible check, hidden test
    "double": (
        "def double(x):\n    return 2 * x",
        2,
        "check(1, lambda: double(3) == 6)",
        "for value in numbers(1, 3).tolist():\n"
        "    assert double(value) == 2 * value, 'secret-double'\n"
        "assert double('ab') == 'abab'",
    ),
    "scale": (
        "def scale(x, by):\n    return by * x",
        2,
        "check(2, lambda: scale(np.ones(2), 3).tolist() == [3, 3])",
        "x = numbers(2, (3, 4)).astype(float)\n"
        "y = scale(x, 3.0)\n"
        "assert np.shape(y) == (3, 4), 'secret-scale'\n"
        "assert np.allclose(y, 3 * x)  # computed after the call\n"
        "x = torch.from_numpy(numbers(2, 5)).double()\n"
        "torch.testing.assert_close(scale(x, -2.0), -2 * x)",
    ),
    "line": (
        "class Line(nn.Module):\n"
        "    def __init__(self, weight):\n"
        "        super().__init__()\n"
        "        self.weight = nn.Parameter(torch.tensor(weight))\n"
        "    def forward(self, x):\n"
        "        return self.weight * x",
        2,
        "check(3, lambda: Line(2.0)(torch.tensor(3.0)) == 6)",
        "start = float(numbers(3)) / 1e8\n"
        "model = Line(start)\n"
        "x = torch.linspace(-1, 2, 7, requires_grad=True)\n"
        "y = model(x)\n"
        "assert y.shape == x.shape, 'secret-line'\n"
        "torch.testing.assert_close(y.detach(), start * x.detach())\n"
        "(y**2).sum().backward()\n"
        "torch.testing.assert_close(x.grad, 2 * start**2 * x.detach())\n"
        "torch.testing.assert_close(model.weight.grad, 2 * start * (x.detach() ** 2).sum())",
    ),
    "descend": (
        "def descend(layer, x, rate):\n"
        "    y = layer.forward(x)\n"
        "    layer.backward(np.ones_like(y))\n"
        "    layer.update(rate)\n"
        "    return y",
        2,
        "class Layer:\n"
        "    def __init__(self, w):\n"
        "        self.w, self.dz_dw, self.calls, self.truth = {'w': w.copy()}, {}, [], w\n"
        "    def forward(self, x):\n"
        "        self.calls.append('forward')\n"
        "        self.x = x\n"
        "        return self.w['w'] * x\n"
        "    def backward(self, dz_dy):\n"
        "        self.calls.append('backward')\n"
        "        self.dz_dw = {'w': dz_dy * self.x}\n"
        "        return dz_dy * self.w['w']\n"
        "    def update(self, rate):\n"
        "        self.calls.append('update')\n"
        "        self.w['w'] -= rate * self.dz_dw['w']\n"
        "check(4, lambda: descend(Layer(np.ones(1)), np.ones(1), 0.1) == 1)",
        "w, x = numbers(4, 3).astype(float), np.array([1.0, 2.0, 3.0])\n"
        "layer = Layer(w)\n"
        "y = descend(layer, x, 0.5)\n"
        "assert np.array_equal(y, w * [1, 2, 3]), 'secret-descend'\n"
        "assert layer.calls == ['forward', 'backward', 'update']\n"
        "assert np.allclose(layer.w['w'], w - 0.5 * np.array([1, 2, 3]))",
    ),
    "train": (
        "def train(model, x, y, steps):\n"
        "    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "    for _ in range(steps):\n"
        "        optimizer.zero_grad()\n"
        "        loss = ((model(x) - y) ** 2).mean()\n"
        "        loss.backward()\n"
        "        optimizer.step()\n"
        "    return float(loss)",
        2,
        "check(5, lambda: train(nn.Linear(1, 1), torch.ones(2, 1), torch.ones(2, 1), 3) >= 0)",
        "torch.manual_seed(fresh(5))\n"
        "model, truth = nn.Linear(2, 1), nn.Linear(2, 1)\n"
        "x, other = torch.randn(2, 64, 2)\n"
        "with torch.no_grad():\n"
        "    y, expected = truth(x), truth(other)\n"
        "    before = ((model(other) - expected) ** 2).mean()\n"
        "train(model, x, y, 40)\n"
        "with torch.no_grad():\n"
        "    after = ((model(other) - expected) ** 2).mean()\n"
        "assert after < 0.01 * before, 'secret-train'\n"
        "assert after > 0 or before > 1e-3",
    ),
    "pick": (
        "def pick(rng, n):\n    return rng.integers(0, 10, n)",
        1,
        "check(6, lambda: len(pick(np.random.default_rng(0), 4)) == 4)",
        "ours, theirs = (np.random.default_rng(fresh(6)) for _ in range(2))\n"
        "for n in (1, 5, 2):\n"
        "    found = pick(theirs, n)\n"
        "    assert np.array_equal(found, ours.integers(0, 10, n)), 'secret-pick'\n"
        "assert ours.random() == theirs.random()",
    ),
    "counts": (
        "def counts(words):\n    return {word: words.count(word) for word in words}",
        1,
        "check(7, lambda: counts(['a', 'b', 'a']) == {'a': 2, 'b': 1})",
        "words = [str(number) for number in numbers(7, 3)]\n"
        "found = counts([*words, words[0]])\n"
        "assert isinstance(found, dict) and len(found) == 3, 'secret-counts'\n"
        "assert all(found[word] == 1 + (word == words[0]) for word in words)",
    ),
    "each": (
        "def each(f, values):\n    return [f(value) for value in values]",
        1,
        "check(8, lambda: each(lambda v: v + 1, [1, 2]) == [2, 3])",
        "shift = int(numbers(8))\n"
        "found = each(lambda value: value + shift, [1, 5, 7])\n"
        "assert list(found) == [shift + 1, shift + 5, shift + 7], 'secret-each'",
    ),
}


def test_of(task: str) -> str:
    """The grade_id of a task's test cell."""
    return f"{task}-test"


@cache
def source() -> Any:
    """The instructor's notebook."""
    cells = [new_markdown_cell("# Attacked", metadata=marks("title", locked=True)), new_code_cell(SETUP)]
    for task, (answer, points, visible, hidden) in TASKS.items():
        body = answer.replace("    ", "    ### BEGIN SOLUTION\n    ", 1) + "\n    ### END SOLUTION"
        test = f"{visible}\n### BEGIN HIDDEN TESTS\n{hidden}\n### END HIDDEN TESTS"
        cells += [solution(task, body), graded(test_of(task), points, test)]
    for place, cell in enumerate(cells):
        cell.id = f"cell-{place}"
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return new_notebook(cells=cells, metadata=metadata)


@cache
def release() -> Any:
    """What students get."""
    made = nbformat.from_dict(json.loads(json.dumps(source())))
    for cell in made.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name in TASKS:
            head = TASKS[name][0].partition("\n")[0]
            cell.source = f"{head}\n    # YOUR CODE HERE\n    raise NotImplementedError()"
        cell.source = cell.source.partition("\n### BEGIN HIDDEN")[0]
    return made


def honest() -> dict[str, Any]:
    """A submission with every task answered."""
    made = json.loads(json.dumps(release()))
    for cell in made["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
        if name in TASKS:
            cell["source"] = TASKS[name][0]
    return made


def secrets() -> set[str]:
    """What no student may see: the hidden tests' lines, and the numbers that they draw for SEED."""
    import numpy as np

    from course_lib.checks import core

    found = {MARK}
    for _, _, _, hidden in TASKS.values():
        found |= {line.strip() for line in hidden.split("\n") if len(line.strip()) > 20}
    with core.drawn_afresh(SEED):
        for seed in SEEDS:
            rng = np.random.default_rng(core.fresh(seed))
            found |= {str(n) for n in rng.integers(10**8, 10**9, 12)}
            found |= {str(np.random.default_rng(core.fresh(seed)).integers(10**8, 10**9))}
    return found
