"""The classifier and its loop: shapes, bookkeeping, and that a step is a step."""

import numpy as np
import pytest

from course_lib.errors import CourseError
from course_lib.scratch.classify import accuracy, convolutional, moved, train


@pytest.mark.parametrize("size", [8, 12, 9])
def test_scores_and_gradients_have_the_shapes_promised(size):
    network = convolutional(rng=np.random.default_rng(0), size=size)
    x = np.random.default_rng(1).normal(size=(3, 1, size, size)).astype(np.float32)
    scores = network.forward(x)
    assert scores.shape == (3, 10)
    assert network.backward(np.ones_like(scores)).shape == x.shape
    assert {k: g.shape for k, g in network.dz_dw.items()} == {k: w.shape for k, w in network.w.items()}


def test_parameters_are_as_many_as_the_docstring_says():
    network = convolutional(rng=np.random.default_rng(0))
    count = sum(w.size for w in network.w.values())
    assert count == 8 * 9 + 8 + 16 * 8 * 9 + 16 + 64 * 10 + 10
    assert f"{count:,} parameters" in convolutional.__doc__


def test_too_small_an_image_is_refused():
    with pytest.raises(CourseError, match="4 x 4"):
        convolutional(rng=np.random.default_rng(0), size=3)


def test_training_is_repeatable_and_learns_a_batch_by_heart():
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(8, 1, 8, 8)).astype(np.float32), np.arange(8)
    runs = []
    for _ in range(2):
        network = convolutional(rng=np.random.default_rng(1))
        runs.append(train(network, images, labels, steps=60, learning_rate=0.1, seed=2))
        assert accuracy(network, images, labels) == 1.0
    assert runs[0] == runs[1]
    assert len(runs[0]) == 60
    assert runs[0][-1] < 0.1 * runs[0][0]


def test_every_example_is_seen_once_an_epoch():
    images, labels = np.arange(12, dtype=np.float32).reshape(12, 1, 1, 1), np.zeros(12, int)
    seen = []

    class Spy:
        def forward(self, x):
            seen.extend(x.ravel())
            return np.zeros((len(x), 2))

        def backward(self, dz_dy):
            pass

        def update(self, learning_rate):
            pass

    train(Spy(), images, labels, steps=6, batch=4)
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12))
    assert seen[:12] != seen[12:]


def test_each_step_can_spoil_the_gradients():
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(8, 1, 8, 8)).astype(np.float32), np.arange(8)
    network = convolutional(rng=np.random.default_rng(1))
    before = {name: w.copy() for name, w in network.w.items()}

    def freeze(net):
        for layer in net.layers[:-1]:
            layer.dz_dw = {}

    train(network, images, labels, steps=3, each_step=freeze)
    moved_names = {name for name, w in network.w.items() if not np.array_equal(w, before[name])}
    assert moved_names == {"7.weight", "7.bias"}


def test_moved_images_are_whole_and_everywhere():
    images = np.random.default_rng(0).uniform(0, 1, (200, 1, 3, 3)).astype(np.float32)
    out = moved(images, rng=np.random.default_rng(1), room=2)
    assert out.shape == (200, 1, 5, 5)
    assert out.dtype == np.float32
    np.testing.assert_allclose((out + 1).sum(axis=(1, 2, 3)), (images + 1).sum(axis=(1, 2, 3)), rtol=1e-5)
    assert ((out > -1).any(axis=(0, 1))).all()
