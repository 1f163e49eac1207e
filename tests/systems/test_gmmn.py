"""The moment matching network: its step by hand, the root, codes, and that it learns."""

import copy

import pytest
import torch
from torch import nn

from course_lib.data import Batches, GaussianMixture, ring
from course_lib.errors import CourseError
from course_lib.loop import fit
from course_lib.losses.mmd import mmd2
from course_lib.metrics.modes import mode_coverage
from course_lib.nets.autoencoder import Autoencoder
from course_lib.nets.mlp import Generator
from course_lib.systems.gmmn import GMMN, uniform


def system(out=(2,), **options):
    torch.manual_seed(0)
    return GMMN(generator=Generator(3, [16], out), noise_size=3, **{"bandwidths": (0.5, 2.0)} | options)


def data(n=32):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(1))


def test_the_noise_is_the_papers():
    torch.manual_seed(0)
    z = system().noise(20_000)
    assert z.shape == (20_000, 3) and -1 <= z.min() < -0.99 and 0.99 < z.max() <= 1
    assert z.mean().abs() < 0.02 and abs(z.var() - 1 / 3) < 0.01
    assert uniform(2, 5, device="cpu").shape == (2, 5)


@pytest.mark.parametrize("root", [True, False])
def test_a_step_is_adams_down_the_root_of_the_biased_mmd(root):
    gmmn, x = system(root=root, learning_rate=0.1), data()
    twin = copy.deepcopy(gmmn.generator)
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.1)
    for seed in range(3):
        torch.manual_seed(seed)
        loss = mmd2(x, twin(gmmn.noise(32)), (0.5, 2.0), biased=True)
        optimizer.zero_grad()
        (loss.sqrt() if root else loss).backward()
        optimizer.step()
        torch.manual_seed(seed)
        assert gmmn.step((x, torch.zeros(32)))["mmd2"].item() == pytest.approx(loss.item(), rel=1e-5)
    for mine, theirs in zip(twin.parameters(), gmmn.generator.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def test_equal_samples_are_no_step_into_nan():
    gmmn = system(learning_rate=0.1)
    with torch.no_grad():
        for p in gmmn.generator.parameters():
            p.zero_()
    assert gmmn.step((torch.zeros(8, 2),))["mmd2"].abs() < 1e-6
    assert all(torch.isfinite(p).all() for p in gmmn.generator.parameters())


def test_codes_are_compared_and_samples_decoded_and_the_autoencoder_stays():
    autoencoder = Autoencoder((2,), [8], 4, bounded=False)
    gmmn, x = system((4,), autoencoder=autoencoder, bandwidths=(0.3,)), data()
    before = copy.deepcopy(autoencoder.state_dict())
    torch.manual_seed(2)
    found = gmmn.step((x,))["mmd2"]
    torch.manual_seed(2)
    fresh = system((4,), autoencoder=autoencoder, bandwidths=(0.3,))
    torch.manual_seed(2)
    with torch.no_grad():
        wanted = mmd2(autoencoder.encode(x), fresh.generator(fresh.noise(32)), (0.3,), biased=True)
    torch.testing.assert_close(found, wanted)
    assert all(torch.equal(before[key], value) for key, value in autoencoder.state_dict().items())
    assert all(p.grad is None for p in autoencoder.parameters())
    torch.manual_seed(3)
    drawn = gmmn.sample(5)
    torch.manual_seed(3)
    with torch.no_grad():
        torch.testing.assert_close(drawn, autoencoder.decode(gmmn.generator(gmmn.noise(5))))


def test_as_many_samples_as_asked_for_and_sampling_leaves_the_mode_as_it_was():
    gmmn, drawn = system(samples=7), []
    gmmn.generator.register_forward_pre_hook(lambda _, z: drawn.append(len(z[0])))
    gmmn.step((data(),))
    system_mode = gmmn.generator.training
    assert gmmn.sample(3).shape == (3, 2) and not gmmn.sample(3).requires_grad
    assert drawn == [7, 3, 3] and gmmn.generator.training is system_mode is True
    with pytest.raises(CourseError, match="one sample or more, not 0"):
        system(samples=0)


def test_it_learns_a_ring_which_one_bad_bandwidth_does_not():
    mixture = ring(8)
    points, _ = mixture.sample(2000, generator=torch.Generator().manual_seed(0))

    def good(bandwidths):
        torch.manual_seed(0)
        gmmn = GMMN(generator=Generator(4, [64, 64], (2,)), noise_size=4, bandwidths=bandwidths, learning_rate=3e-3)
        fit(gmmn.step, Batches(points, size=100, seed=0), 200, progress=False)
        return mode_coverage(gmmn.sample(1000), GaussianMixture(mixture.means, 0.2)).modes

    assert good((0.2, 0.5, 1.0)) == 8
    assert good((50.0,)) < 6, "as wide as this, only the mean is seen"
    assert good((1e-3,)) < 6, "as narrow as this, nobody is near anybody"


def test_a_module_is_what_moves_to_the_device_and_anything_with_both_ways_will_do():
    class Halves:
        def encode(self, x):
            return x / 2

        def decode(self, code):
            return 2 * code

    gmmn = system(autoencoder=Halves())
    assert torch.isfinite(gmmn.step((data(),))["mmd2"])
    assert isinstance(system(autoencoder=Autoencoder((2,), [4], 2)).autoencoder, nn.Module)
