"""Each hint is given for the mistake it names, right answers pass, a stub gets a sentence; references are tested too.

The mistakes are those of tests/mutants/ps01_backprop.py; here the visible checks meet them directly.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jupytext
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from course_lib.authoring import mutants
from course_lib.checks import backprop as checks
from course_lib.checks.core import CheckFailed
from course_lib.scratch import Layer, Sequential

ROOT = Path(__file__).resolve().parents[2]
TASKS = mutants.load_tasks("ps01_backprop", ROOT)
REFERENCES = {cell.name: cell.source for cell in mutants._read_cells("ps01_backprop", ROOT) if cell.solution}

# task: (the name the student defines, its checks in order)
CHECKS: dict[str, tuple[str, list[Callable[[Any], None]]]] = {
    "linear": ("Linear", [checks.check_linear_forward, checks.check_linear_backward, checks.check_linear_update]),
    "swish": ("Swish", [checks.check_swish_forward, checks.check_swish_backward]),
    "loss": ("SmoothedCrossEntropy", [checks.check_loss_value, checks.check_loss_gradient]),
    "pooling": ("MixedPool2d", [checks.check_pool_forward, checks.check_pool_backward]),
    "convolution": (
        "DilatedConv2d",
        [checks.check_convolution_forward, checks.check_convolution_input, checks.check_convolution_parameters],
    ),
    "norm": ("RMSNorm", [checks.check_norm_forward, checks.check_norm_backward]),
    "checker": ("gradient_errors", [checks.check_checker_accepts, checks.check_checker_catches]),
    "residual": ("Residual", [checks.check_residual]),
    "train": ("train", [checks.check_training]),
}

# task: mutant: words of the message of the first check that fails
HINTS = {
    "linear": {
        "forgets the bias": "the bias is missing",
        "weight not transposed": "must be transposed",
        "gradient of the weight transposed": "it is transposed; dz_dw has the shape of the weight",
        "sums over the examples only": "summed over the examples, but not over the positions",
        "mean in place of the sum": "the mean in place of the sum",
        "bias summed over the outputs": "summed over the outputs too",
        "adds up over batches": "write it anew in every backward",
        "uphill": "uphill: the sign of the step",
        "no decay": "there is no decay",
        "the bias decays too": "the bias decays too",
        "decay without the learning rate": "the decay is not multiplied by the learning rate",
        "update of a local name": "not put into w",
        "adds the bias in place to x": "forward changed its input x in place",
    },
    "swish": {
        "beta on the last axis": "belongs to axis 1",
        "overflow": "NaN or infinity",
        "beta left out": "beta is left out",
        "forgets the first term": "the first term is missing",
        "forgets the second term": "the second term is missing",
        "forgets the inner derivative": "the derivative of what is inside the sigmoid, is missing",
        "x in place of x²": "x counts twice",
        "beta's gradient not summed over pixels": "summed over the examples, but not over the pixels",
        "one gradient for all channels": "summed over the channels too",
        "beta's gradient is a mean": "the mean in place of the sum",
        "forgets dz_dy": "dz_dy is forgotten",
        "multiplies dz_dy in place": "backward changed its input dz_dy in place",
    },
    "loss": {
        "no shift: overflows": "exp overflows",
        "subtracts the largest of the batch": "each row's largest",
        "softmax over the examples": "over the examples (axis 0)",
        "log of p plus a little": "a small number inside the logarithm",
        "sum in place of the mean": "the sum over the examples in place of their mean",
        "mean over the classes too": "the mean is also taken over the classes",
        "wrong sign": "minus the log-probability",
        "no smoothing": "the targets are not smoothed",
        "smoothing for the others only": "shared by the K − 1 other classes",
        "right class keeps 1": "the right class keeps 1",
        "gradient without the mean": "the mean over the batch is missing",
        "q − p": "it is p − q",
        "gradient of the unsmoothed loss": "the targets q are not smoothed",
        "forgets dz_dy": "dz_dy is forgotten",
        "shifts the scores in place": "forward changed the scores in place",
        "spoils p in backward": "each call changes what forward kept",
        "one loss for each example": "z is one number",
    },
    "pooling": {
        "overlaps overwrite": "+= in place of =",
        "mix exchanged in forward": "mix and 1 − mix are exchanged",
        "mix exchanged in backward": "mix and 1 − mix are exchanged",
        "mean's gradient not divided": "not divided by the number of pixels",
        "only the maximum comes back": "only the maximum's part",
        "all ties get the gradient": "all the largest pixels get the whole gradient",
        "the last of the ties wins": "the last of the largest pixels wins",
        "stride rows and columns exchanged": "rows and columns are exchanged",
        "mix's gradient forgets the mean": "maximum minus mean",
        "mix's gradient is a mean": "the mean over the windows in place of the sum",
        "mix's gradient has the wrong sign": "the sign",
        "one mix gradient for each map": "all maps share one mix",
    },
    "convolution": {
        "kernel flipped": "the kernel is flipped",
        "dilation not used": "the dilation is not used",
        "stride not used": "the stride is not used",
        "stride and dilation exchanged": "stride and dilation are exchanged",
        "forgets the bias": "the bias is missing",
        "stride of rows for both": "the stride of the rows is used for the columns too",
        "padding of rows for both": "the padding of the rows is used for the columns too",
        "pads with the edge": "repeats the edge",
        "overlaps overwrite": "+= in place of =",
        "padding not cut off": "the padding is not cut off",
        "cut by -p: empty without padding": "[p:-p] is empty",
        "padding cut from one side": "the padding is cut from the wrong side",
        "kernel turned in backward": "the kernel is turned the wrong way",
        "weight gradient is a batch mean": "the mean belongs to the loss",
        "weight gradient from the first example": "only the first example counts",
        "bias summed over the examples only": "summed over the examples, but not over the pixels",
        "bias gradient averaged over pixels": "the mean over the pixels in place of the sum",
        "adds up over batches": "write it anew in every backward",
        "padded in float32": "somewhere float32 is used",
    },
    "norm": {
        "eps outside the root": "it belongs under it",
        "no eps": "eps is missing",
        "sum of squares": "the sum of squares in place of their mean",
        "mean over the examples": "it is over the last axis",
        "standard deviation": "the standard deviation in place of",
        "forgets keepdims": "keepdims=True",
        "ρ as a constant": "ρ is treated as a constant",
        "wrong sign of the second term": "the sign of the term that comes through ρ",
        "sum in the second term": "the sum over the last axis in place of the mean",
        "ρ squared": "ρ² in place of ρ³",
        "elementwise second term": "the sum is missing",
        "forgets the gain on the way back": "the gain is left out",
        "gain's gradient of x": "x in place of x/ρ",
        "gain's gradient over the first axis only": "summed over the first axis only",
        "gain's gradient is a mean": "the mean in place of the sum",
        "normalizes in place": "forward changed its input x in place",
    },
    "checker": {
        "one-sided difference": "the difference is not central",
        "divides by the step only": "a difference over 2·step is divided by step",
        "dz_dy of ones": "a random dz_dy is needed",
        "checks only x": "check the gradient of every parameter",
        "goes through dz_dw": "go through the names in layer.w",
        "NaN slips through": "drop NaN",
        "shapes not compared": "compare shapes first",
        "replaces the arrays of w": "change the numbers inside",
        "does not put back exactly": "not exactly as they were",
        "stays in float32": "turn x into float64 first",
        "no other batch first": "show the layer another batch first",
        "no floor": "needs a floor",
        "moves one entry only": "a direction must move every entry at once",
        "entry by entry": "one entry at a time is moved",
    },
    "residual": {
        "forgets to add x": "x itself is not added",
        "forgets the second path back": "the path around the layers is missing",
        "adds 1 in place of dz_dy": "1 in place of dz_dy",
        "backward in the forward order": "from the last layer to the first",
        "a shortcut around each layer": "each layer has its own shortcut",
        "adds in place": "forward changed its input x in place",
        "adds to dz_dy in place": "backward changed its input dz_dy in place",
        "updates only the last layer": "each layer inside is updated once",
        "updates none": "reached no layer",
    },
    "train": {
        "drops the last batch": "the last, smaller batch is left out: 3 of 11",
        "does not shuffle": "the examples are not shuffled",
        "one order for all epochs": "draw a new order every epoch",
        "labels not shuffled": "images and labels do not belong together",
        "draws with replacement": "batches are drawn with replacement",
        "mean of the batches' means": "the smaller batch must count less",
        "loss of the last batch": "the loss of the last batch only",
        "sum of the losses": "a sum over the examples",
        "one loss for each step": "one loss for each step",
        "forgets update": "Expected: forward, loss, gradient of the loss, backward, update",
        "updates before backward": "Expected: forward, loss, gradient of the loss, backward, update",
        "backward is given the loss": "not given what loss.backward returned",
        "learning rate divided by the batch": "not given the learning rate",
        "returns nothing": "train returned None",
        "shuffles the images it was given": "changed the images or labels it was given",
    },
}


def defined(task: str, source: str) -> Any:
    """What the student's cell defines, from its source."""
    namespace = {"np": np, "Layer": Layer, "Sequential": Sequential, "sliding_window_view": sliding_window_view}
    exec(compile(source, f"<{task}>", "exec"), namespace)
    return namespace[CHECKS[task][0]]


def mutant(task: str, name: str) -> Any:
    found = {**TASKS[task].wrong, **TASKS[task].right}[name]
    return defined(task, found.apply(REFERENCES[task]) if isinstance(found, mutants.Edit) else found)


def run_all(task: str, student: Any) -> None:
    for check in CHECKS[task][1]:
        check(student)


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, hints in HINTS.items() for name in hints])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_hint_names_the_mistake(task: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    student = mutant(task, name)
    with pytest.raises(CheckFailed) as failure:
        run_all(task, student)
    assert HINTS[task][name] in str(failure.value)
    assert str(failure.value).startswith("Task ")


@pytest.mark.parametrize("task", CHECKS)
def test_right_solutions_pass(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    students = [defined(task, REFERENCES[task])] + [mutant(task, name) for name in TASKS[task].right]
    for student in students:
        run_all(task, student)
    assert capsys.readouterr().out.count("passes its visible check") == len(students) * len(CHECKS[task][1])


@pytest.mark.parametrize("task", CHECKS)
def test_a_stub_gets_a_sentence(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    student = defined(task, mutants.stub_of(REFERENCES[task]))
    run_all(task, student)
    printed = capsys.readouterr().out
    assert printed.count("is not done yet.") == len(CHECKS[task][1])
    assert "passes" not in printed


def test_every_task_of_the_set_is_here() -> None:
    assert list(CHECKS) == list(TASKS) == list(REFERENCES) == list(HINTS)


def test_the_stated_points_and_minutes_are_the_sums() -> None:
    cells = jupytext.read(ROOT / "solutions" / "ps01_backprop" / "ps01_backprop.py", fmt="py:percent").cells
    points = sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in cells)
    rows = re.findall(r"^\| (\d+) \|.*\| (\d+) \| (\d+) \|$", cells[0].source, re.MULTILINE)
    minutes, total = re.search(r"\*\*(\d+)\*\* \| \*\*(\d+)\*\*", cells[0].source).groups()
    assert points == int(total) == sum(int(row[2]) for row in rows)
    assert int(minutes) == sum(int(row[1]) for row in rows)
    titles = re.findall(
        r"^## Task (\d+) · .*\((\d+) minutes, ([\d +]+) points?\)$", "\n".join(c.source for c in cells), re.M
    )
    assert [(k, m, str(eval(p))) for k, m, p in titles] == [tuple(row) for row in rows]


def test_together(capsys: pytest.CaptureFixture[str]) -> None:
    checks.check_digits(None, at_least=0.9)
    assert "not done yet" in capsys.readouterr().out
    checks.check_digits(0.95, at_least=0.95)
    assert "passes" in capsys.readouterr().out
    with pytest.raises(CheckFailed, match=r"94\.0% of the test digits"):
        checks.check_digits(0.94, at_least=0.95)


def test_truth_is_the_derivative() -> None:
    """The references themselves, against central differences."""
    rng = np.random.default_rng(0)
    cases = [
        (checks.swish, rng.normal(size=(2, 3, 2)), {"beta": rng.normal(size=3)}),
        (checks.mixed_pool((3, 2), (1, 1)), rng.normal(size=(1, 2, 4, 3)), {"mix": 0.3}),
        (checks.rms_norm(0.1), rng.normal(size=(2, 3)), {"gain": rng.normal(size=3)}),
        (
            checks.convolution((2, 1), (1, 0), (1, 2)),
            rng.normal(size=(1, 2, 4, 5)),
            {"weight": rng.normal(size=(2, 2, 3, 2)), "bias": rng.normal(size=2)},
        ),
        (checks.residual(0.5, -0.3), rng.normal(size=(2, 2)), {}),
    ]
    for function, x, w in cases:
        true = checks.truth(function, x, w)
        places = {"x": true.x, **true.w}
        for name, gradient in true.gradients.items():
            d = rng.normal(size=np.shape(places[name]))
            z = []
            for sign in (1, -1):
                moved = {**places, name: places[name] + sign * 1e-6 * d}
                y = checks.truth(function, moved["x"], {key: moved[key] for key in w}).y
                z.append((y * true.dz_dy).sum())
            assert (gradient * d).sum() == pytest.approx((z[0] - z[1]) / 2e-6, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("bug", checks.BUGS)
def test_planted_bugs_break_only_what_they_say(bug: str) -> None:
    x = np.random.default_rng(1).normal(size=(3, 4))
    other = np.random.default_rng(2).normal(size=(3, 4))
    r = np.random.default_rng(3).normal(size=(3, 4))
    results = []
    for layer in (checks.Planted(bug), checks.Planted()):
        layer.forward(other)
        layer.backward(np.ones((3, 4)))
        y = layer.forward(x)
        results.append((y, {"x": layer.backward(r), **layer.dz_dw}))
    (y, wrong), (y_right, right) = results
    assert np.array_equal(y, y_right)
    differ = {name for name in right if name not in wrong or not np.array_equal(wrong[name], right[name])}
    assert checks.BUGS[bug] in differ
    if bug not in ("remembers the first x", "parameter: one for another", "adds to the last batch"):
        assert differ == {checks.BUGS[bug]}


def test_compare_names_a_missing_gradient_and_a_forgotten_return() -> None:
    class Half(Layer):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return 0.5 * x

        def backward(self, dz_dy: np.ndarray) -> None:
            self.w["a"] = np.zeros(())

    true = checks.truth(lambda x, a: (0.5 + a) * x, np.ones((2, 3)), {"a": 0.0})
    with pytest.raises(CheckFailed, match="dz_dx is None; did you forget to return it"):
        checks.compare(Half(), true, ["x"])
    with pytest.raises(CheckFailed, match='backward left no dz_dw\\["a"\\]'):
        checks.compare(Half(), true, ["a"])
