"""Data: real digits offline, MNIST in its real format, exact densities, batches that know their position."""

import gzip
import struct

import numpy as np
import pytest
import torch

from course_lib.data import Batches, digits, mnist, ring
from course_lib.data.hub import data_root
from course_lib.data.toys import GaussianMixture
from course_lib.errors import CourseError


def test_digits_are_real_and_split_without_overlap():
    images, labels = digits()
    train, train_labels = digits("train")
    test, test_labels = digits("test")
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert images.min() == -1
    assert images.max() == 1
    assert len(train) + len(test) == 1797
    assert torch.bincount(test_labels).min() >= 34, "stratified"
    assert torch.bincount(train_labels).sum() == 1437
    rows = {t.numpy().tobytes() for t in train}
    assert sum(t.numpy().tobytes() in rows for t in test) == 0
    assert torch.equal(digits("train")[0], train)


def test_unknown_splits_are_refused():
    with pytest.raises(CourseError, match="train, test and all, not 'valid'"):
        digits("valid")
    with pytest.raises(CourseError, match="train and test, not 'all'"):
        mnist("all")


def write_idx(path, array):
    """An array in the IDX format of the MNIST files, gzipped."""
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    with gzip.open(path, "wb") as file:
        file.write(header + array.astype(np.uint8).tobytes())


def test_mnist_reads_the_real_format_from_a_folder(tmp_path, monkeypatch):
    """Small files in the real format, with their checksums in torchvision's table in place of the real ones."""
    import hashlib

    from torchvision.datasets import MNIST

    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28))
    images[0, 0, :2] = 0, 255
    resources = []
    for prefix in ("train", "t10k"):
        for name, array in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", np.arange(5))):
            write_idx(raw / f"{name}.gz", array)
            resources.append((f"{name}.gz", hashlib.md5((raw / f"{name}.gz").read_bytes()).hexdigest()))
    monkeypatch.setattr(MNIST, "resources", resources)
    x, y = mnist("test", root=tmp_path)
    assert x.shape == (5, 1, 28, 28)
    assert x[0, 0, 0, 0] == -1
    assert x[0, 0, 0, 1] == 1
    assert torch.allclose(x[:, 0], torch.from_numpy(images).float() / 127.5 - 1)
    assert y.tolist() == [0, 1, 2, 3, 4]


def test_mnist_without_network_is_one_sentence(tmp_path, monkeypatch):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    assert data_root() == tmp_path
    with pytest.raises(
        CourseError, match=r"MNIST could not be loaded .* connect to the network once.*digits\(\)"
    ) as error:
        mnist()
    assert "\n" not in str(error.value)


def test_a_corrupt_cache_is_one_sentence_that_says_to_delete_it(tmp_path, monkeypatch):
    from torchvision.datasets import MNIST

    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file, _ in MNIST.resources:
        (raw / file.removesuffix(".gz")).write_bytes(b"\x00\x00\x08\x03 cut short")
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(CourseError, match=r"damaged, delete .* and try again"):
        mnist(root=tmp_path)


def test_the_density_of_a_mixture_is_that_of_scipy():
    from scipy.stats import multivariate_normal

    mixture = GaussianMixture(
        torch.tensor([[0.0, 1.0], [2.0, -1.0]]), torch.tensor([0.5, 1.5]), torch.tensor([1.0, 3.0])
    )
    x = torch.randn(20, 2)
    expected = 0.25 * multivariate_normal([0, 1], 0.25).pdf(x) + 0.75 * multivariate_normal([2, -1], 2.25).pdf(x)
    assert np.allclose(mixture.log_density(x).exp(), expected, rtol=1e-6)


def test_samples_of_a_mixture_have_its_moments():
    mixture = ring(8, radius=2.0, std=0.1)
    x, k = mixture.sample(40_000, generator=torch.Generator().manual_seed(0))
    assert torch.bincount(k, minlength=8).min() > 4_700
    for j in range(8):
        assert torch.allclose(x[k == j].mean(0), mixture.means[j], atol=0.01)
        assert torch.allclose(x[k == j].std(0), torch.tensor(0.1), atol=0.005)


def test_an_epoch_serves_each_example_once_in_a_new_order():
    x = torch.arange(10)
    batches = Batches(x, x * 2, size=3, drop_last=False)
    first = [torch.cat(parts) for parts in zip(*batches.epoch(), strict=True)]
    second = torch.cat([a for a, _ in batches.epoch()])
    assert torch.equal(first[0] * 2, first[1])
    assert sorted(first[0].tolist()) == sorted(second.tolist()) == x.tolist()
    assert first[0].tolist() != second.tolist()
    assert len(batches) == 4
    assert len(list(Batches(x, size=3).epoch())) == 3
    assert torch.cat([a for (a,) in Batches(x, size=5, shuffle=False).epoch()]).tolist() == x.tolist()


def test_batches_leave_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    list(Batches(torch.arange(10), size=2).epoch())
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("before", range(0, 9))
def test_a_saved_position_serves_the_same_batches_again(before):
    x = torch.arange(11)
    batches, stream = Batches(x, size=3, seed=1), None
    stream = iter(batches)
    for _ in range(before):
        next(stream)
    state = batches.state_dict()
    expected = [next(stream)[0].tolist() for _ in range(8)]
    again = Batches(x, size=3, seed=99)
    again.load_state_dict(state)
    stream = iter(again)
    assert [next(stream)[0].tolist() for _ in range(8)] == expected


def test_batches_refuse_what_they_cannot_cut():
    with pytest.raises(CourseError, match="one length, not 3, 4"):
        Batches(torch.zeros(3), torch.zeros(4), size=1)
    with pytest.raises(CourseError, match="Batches of 9 cannot be cut from 3"):
        Batches(torch.zeros(3), size=9)
    with pytest.raises(CourseError, match="Batches of 0"):
        Batches(torch.zeros(3), size=0)
