"""Looking inside a net: the right layer's output, no trace left behind."""

import pytest
import torch
from torch import nn

from course_lib.errors import CourseError
from course_lib.nets.features import LayerOutput, still


def net():
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Dropout(0.5))
    return nn.Sequential(inner, nn.BatchNorm1d(5), nn.Linear(5, 3)).eval()


def test_the_output_of_any_layer_and_of_the_net():
    whole, x = net(), torch.randn(6, 4)
    torch.testing.assert_close(LayerOutput(whole, "0.0")(x), whole[0][0](x))  # not what the ReLU left of it
    torch.testing.assert_close(LayerOutput(whole, "0")(x), whole[0](x))
    torch.testing.assert_close(LayerOutput(whole, "1")(x), whole[1](whole[0](x)))
    torch.testing.assert_close(LayerOutput(whole)(x), whole(x))


def test_gradients_pass_and_no_hook_stays():
    whole, x = net(), torch.randn(6, 4, requires_grad=True)
    LayerOutput(whole, "0.0")(x).sum().backward()
    torch.testing.assert_close(x.grad, whole[0][0].weight.sum(0).expand(6, 4))
    assert not any(module._forward_hooks for module in whole.modules())
    with pytest.raises(RuntimeError):
        LayerOutput(whole, "1")(torch.randn(6, 3))
    assert not any(module._forward_hooks for module in whole.modules())


def test_still_puts_every_part_back_as_it_was():
    whole = net().train()
    whole[1].eval()
    with still(whole):
        assert not any(module.training for module in whole.modules())
    assert whole.training and whole[0][2].training and not whole[1].training
    with pytest.raises(ValueError, match="x"), still(whole):
        raise ValueError("x")
    assert whole.training


def test_wrong_layers_are_refused_in_a_sentence():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused, self.rnn = nn.Linear(4, 4), nn.LSTM(4, 4)

        def forward(self, x):
            return self.rnn(x)[0]

    with pytest.raises(CourseError, match=r"0\.1"):
        LayerOutput(net(), "7")
    with pytest.raises(CourseError, match="does not pass"):
        LayerOutput(Odd(), "unused")(torch.zeros(2, 4))
    with pytest.raises(CourseError, match="tuple"):
        LayerOutput(Odd(), "rnn")(torch.zeros(2, 4))
