"""The stacks: shapes, labels, features, minibatch discrimination by its formula, networks side by side."""

import pytest
import torch
from torch import nn

from course_lib.errors import CourseError
from course_lib.nets.minibatch import MinibatchDiscrimination
from course_lib.nets.mlp import MLP, Critic, Generator
from course_lib.nets.side_by_side import SideBySide


@pytest.mark.parametrize("shape", [(2,), (1, 8, 8), (3, 4, 5)])
@pytest.mark.parametrize("classes", [0, 10])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_generator_and_critic_shapes(shape, classes, batch_norm):
    label = (torch.arange(5) % 10,) if classes else ()
    generator = Generator(7, [16, 12], shape, classes, batch_norm=batch_norm, bounded=len(shape) == 3)
    critic = Critic(shape, [16, 12], classes, batch_norm=batch_norm)
    fake = generator(torch.randn(5, 7), *label)
    assert fake.shape == (5, *shape)
    assert critic(fake, *label).shape == (5,)
    assert critic.features(fake, *label).shape == (5, 12)


def test_bounded_images_lie_between_minus_one_and_one_and_points_need_not():
    noise = 100 * torch.randn(50, 4)
    assert Generator(4, [8], (1, 8, 8), bounded=True)(noise).abs().max() <= 1
    assert Generator(4, [8], (2,))(noise).abs().max() > 1


def test_the_label_changes_the_output_and_only_through_its_own_weights():
    """Zero the label's columns of the first layer and the conditional net is the unconditional one (slide 000)."""
    generator = Generator(4, [8], (2,), classes=3)
    noise = torch.randn(6, 4)
    zero, one = torch.zeros(6, dtype=torch.int64), torch.ones(6, dtype=torch.int64)
    assert not torch.equal(generator(noise, zero), generator(noise, one))
    with torch.no_grad():
        generator.body[0].weight[:, 4:] = 0
    assert torch.equal(generator(noise, zero), generator(noise, one))


def test_a_critic_with_more_outputs_has_a_row_for_each_point():
    assert Critic((2,), [8], outputs=5)(torch.randn(3, 2)).shape == (3, 5)


def test_one_point_is_a_batch_too():
    """Catches squeeze() without its dimension: a batch of one would lose its shape."""
    assert Critic((2,), [8])(torch.randn(1, 2)).shape == (1,)
    assert Critic((2,), [8], minibatch=3)(torch.randn(1, 2)).shape == (1,)
    assert Generator(3, [8], (1, 8, 8))(torch.randn(1, 3)).shape == (1, 1, 8, 8)


def test_mlp_is_linear_layers_with_an_activation_between():
    net = MLP([3, 5, 4, 2], activation=nn.Tanh, dropout=0.1, batch_norm=True)
    kinds = [type(layer).__name__ for layer in net]
    block = ["Linear", "BatchNorm1d", "Tanh", "Dropout"]
    assert kinds == [*block, *block, "Linear"]
    assert [type(layer).__name__ for layer in MLP([3, 2], last=True)] == ["Linear", "ReLU"]
    assert isinstance(Critic((2,), [4]).body[1], nn.LeakyReLU)
    assert Critic((2,), [4]).body[1].negative_slope == 0.2


def test_minibatch_discrimination_is_the_papers_formula():
    layer = MinibatchDiscrimination(4, kernels=3, kernel_size=2).double()
    f = torch.randn(5, 4, dtype=torch.float64)
    m = (f @ layer.projection).view(5, 3, 2)
    expected = torch.zeros(5, 3, dtype=torch.float64)
    for i in range(5):
        for b in range(3):
            for j in range(5):
                expected[i, b] += torch.exp(-(m[i, b] - m[j, b]).abs().sum())
    torch.testing.assert_close(layer(f), expected)


def test_minibatch_discrimination_sees_collapse():
    layer = MinibatchDiscrimination(4)
    collapsed, spread = torch.ones(6, 4), 100 * torch.randn(6, 4)
    torch.testing.assert_close(layer(collapsed), torch.full((6, 100), 6.0))
    assert layer(spread).mean() < 3
    critic = Critic((4,), [8], minibatch=16)
    together, alone = critic(collapsed), torch.cat([critic(x[None]) for x in collapsed])
    assert not torch.allclose(together, alone)  # it judges a batch, not a point


@pytest.mark.parametrize("extra", [{}, {"minibatch": 3}, {"classes": 4}, {"outputs": 3}])
def test_networks_side_by_side_are_the_networks_one_by_one(extra):
    critics = [Critic((2,), [8, 6], **extra) for _ in range(3)]
    together = SideBySide(critics)
    assert next(critics[0].parameters()).device.type == "cpu"  # the networks given are left alone
    x, label = torch.randn(15, 2), torch.randint(4, (15,))
    given = (label,) if extra.get("classes") else ()
    chunks = list(zip(*(t.chunk(3) for t in (x, *given)), strict=True))
    separate = torch.cat([critic(*chunk) for critic, chunk in zip(critics, chunks, strict=True)])
    torch.testing.assert_close(together(x, *given), separate)
    features = torch.cat([critic.features(*chunk) for critic, chunk in zip(critics, chunks, strict=True)], 1)
    torch.testing.assert_close(together.features(x, *given), features)
    assert torch.equal(together.parts(x)[1], x[5:10])


def test_side_by_side_gradients_stay_apart_and_are_a_share_of_each_networks_own():
    nets = [Critic((2,), [8]) for _ in range(3)]
    together = SideBySide(nets)
    x = torch.randn(12, 2)
    together(x).square().mean().backward()
    for s, net in enumerate(nets):
        net(x.chunk(3)[s]).square().mean().backward()
        for stacked, own in zip(together.stacked, net.parameters(), strict=True):
            torch.testing.assert_close(stacked.grad[s], own.grad / 3)
    moved = SideBySide(nets)
    moved(x)[:4].sum().backward()  # only the first network's part
    assert all(p.grad[1:].abs().max() == 0 for p in moved.stacked)


def test_side_by_side_refuses_buffers():
    with pytest.raises(CourseError, match="batch norm"):
        SideBySide([Critic((2,), [4], batch_norm=True)])
