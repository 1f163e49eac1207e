"""Device, seeds, nested batches, the switches, and the budget ladder."""

from typing import NamedTuple

import pytest
import torch
from torch import nn

import course_lib
from course_lib.budget import RUNGS, Budget
from course_lib.device import choose_device, prepare, rng_state, seed_everything, set_rng_state, to_device
from course_lib.errors import CourseError


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(CourseError, match="There is no device 'gpu'; use auto, cpu, cuda or mps"):
        choose_device("gpu")
    with pytest.raises(CourseError, match="asked for but torch sees"):
        choose_device(f"cuda:{torch.cuda.device_count()}")
    with pytest.raises(CourseError, match="does not run on 'meta'"):
        choose_device("meta")


def test_auto_is_cuda_where_there_is_one():
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert choose_device("auto").type == expected


class Pair(NamedTuple):
    x: torch.Tensor
    name: str


def test_nested_batches_keep_their_structure():
    x = torch.zeros(2)
    batch = {"a": (x, [x, 3]), "b": Pair(x, "word")}
    moved = to_device(batch, torch.device("meta"))
    assert moved["a"][0].device.type == moved["a"][1][0].device.type == moved["b"].x.device.type == "meta"
    assert moved["a"][1][1] == 3
    assert isinstance(moved["b"], Pair)
    assert moved["b"].name == "word"
    assert to_device(batch, None) is batch


def test_generators_go_back_to_a_saved_state():
    import random

    import numpy as np

    seed_everything(3)
    state = rng_state()
    first = (random.random(), np.random.rand(), np.random.randn(), torch.rand(1).item())
    set_rng_state(state)
    assert (random.random(), np.random.rand(), np.random.randn(), torch.rand(1).item()) == first
    seed_everything(3)
    assert random.random() == first[0]


def test_bf16_runs_the_forward_pass_in_bfloat16_and_returns_float32():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    keys = list(net.state_dict())
    x = torch.randn(8, 64)
    exact = net(x)
    rounded = prepare(net, bf16=True)(x)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    assert torch.allclose(rounded, exact, atol=0.05)
    assert list(net.state_dict()) == keys
    rounded.sum().backward()
    assert net[0].weight.grad.dtype == torch.float32


def test_channels_last_changes_the_layout_and_not_the_result():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    x = torch.randn(2, 3, 9, 9)
    expected = net(x)
    layouts = []
    net[0].register_forward_hook(
        lambda _, args, __: layouts.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )
    assert torch.allclose(prepare(net, channels_last=True)(x), expected, atol=1e-5)
    assert layouts == [True]
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_start_says_what_was_chosen(capsys):
    device, budget = course_lib.start("smoke", seed=4, device="cpu")
    a = torch.rand(1)
    course_lib.start("smoke", seed=4, device="cpu")
    assert torch.equal(torch.rand(1), a)
    assert device.type == "cpu"
    assert budget.name == "smoke"
    assert "budget smoke · seed 4" in capsys.readouterr().out


def test_the_ladder():
    assert Budget.choose("auto", torch.device("cuda")).name == "gpu"
    assert Budget.choose("auto", torch.device("cpu")).name == "laptop"
    assert [Budget(r).steps(1000) for r in RUNGS] == [200, 1000, 5000, 20000]
    assert [Budget(r).steps(1000, gpu=7) for r in RUNGS] == [200, 1000, 7, 20000]
    assert [Budget(r).pick(smoke="a", gpu="b") for r in RUNGS] == ["a", "a", "b", "b"]
    assert Budget("smoke").steps(1) == 1


@pytest.mark.parametrize(
    "call", [lambda b: b.pick(smoke=1, huge=2), lambda b: b.steps(10, huge=2), lambda b: b.pick(gpu=2)]
)
def test_the_ladder_refuses_other_rungs(call):
    with pytest.raises(CourseError, match="smoke"):
        call(Budget("smoke"))
    with pytest.raises(CourseError, match="There is no budget 'huge'; choose one of auto, smoke, laptop, gpu, paper"):
        Budget("huge")
