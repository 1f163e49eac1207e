"""The autoencoder: shapes and ranges, the narrow place, dropout in the encoder alone."""

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.loop import descend
from course_lib.nets.autoencoder import Autoencoder


def test_shapes_and_ranges():
    torch.manual_seed(0)
    net, x = Autoencoder((1, 8, 8), [32, 16], 5), 10 * torch.randn(7, 1, 8, 8)
    code = net.encode(x)
    assert code.shape == (7, 5) and code.min() > 0 and code.max() < 1
    assert net.decode(code).shape == net(x).shape == (7, 1, 8, 8)
    assert net(x).abs().max() <= 1
    assert torch.equal(net(x), net.decode(net.encode(x)))
    units = [
        [layer.out_features for layer in part.modules() if hasattr(layer, "out_features")]
        for part in (net.encoder, net.decoder)
    ]
    assert units == [[32, 16, 5], [16, 32, 64]]


def test_only_the_encoder_drops_units_and_only_in_training():
    torch.manual_seed(0)
    net, x = Autoencoder((4,), [64], 3, bounded=False, dropout=0.5), torch.randn(6, 4)
    assert not torch.equal(net.encode(x), net.encode(x))
    assert torch.equal(net.decode(net.eval().encode(x)), net(x))
    net.train()
    code = torch.rand(6, 3)
    assert torch.equal(net.decode(code), net.decode(code))


def test_it_learns_what_fits_through_the_narrow_place_and_nothing_wider():
    torch.manual_seed(0)
    line = torch.rand(256, 1) @ torch.tensor([[1.0, -0.5, 0.25]])
    cloud = torch.rand(256, 3) - 0.5

    def error(x):
        net = Autoencoder((3,), [32], 1)
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        for _ in range(300):
            loss = descend(optimizer, (net(x) - x).square().mean())
        return loss / x.var(0).mean()

    assert error(line) < 0.02 < 0.2 < error(cloud)


def test_a_code_of_no_numbers_is_a_sentence():
    with pytest.raises(CourseError, match="one number or more"):
        Autoencoder((2,), [4], 0)
