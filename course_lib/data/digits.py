"""Handwritten digits: scikit-learn's 8 x 8 ones, always there; MNIST on request."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from course_lib.data.hub import data_root, fetching
from course_lib.errors import CourseError


@lru_cache(maxsize=1)
def _scanned() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's file, read once: pixels (1797, 8, 8) in 0..16, digits (1797,)."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    return raw.images, raw.target


def digits(split: str = "all", *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Real handwritten digits at 8 x 8, shipped with scikit-learn: 1,797 by 43 writers, no download.

    Args:
        split: "train" (1,437), "test" (360) or "all". Stratified by digit, the same for every call with one seed.

    Returns:
        images (N, 1, 8, 8), float32 in [-1, 1] (17 grey levels); labels (N,), int64 in 0..9.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998
    (doi:10.24432/C50P49), its test part, as shipped by `sklearn.datasets.load_digits`.
    """
    from sklearn.model_selection import train_test_split

    pixels, target = _scanned()
    images = torch.from_numpy((pixels / 8 - 1).astype(np.float32))[:, None]
    labels = torch.from_numpy(target.astype(np.int64))
    if split == "all":
        return images, labels
    if split not in ("train", "test"):
        raise CourseError(f"The digits have the splits train, test and all, not {split!r}.")
    train, test = train_test_split(np.arange(len(labels)), test_size=0.2, random_state=seed, stratify=target)
    chosen = torch.from_numpy(train if split == "train" else test)
    return images[chosen], labels[chosen]


def mnist(split: str = "train", *, root: str | Path | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """MNIST at 28 x 28, through torchvision: from `root` if it is there, else downloaded to it once (12 MB).

    Args:
        split: "train" (60,000) or "test" (10,000).
        root: folder of the data; `data_root()` unless given. Files lie in root/MNIST/raw, as torchvision keeps them.

    Returns:
        images (N, 1, 28, 28), float32 in [-1, 1]; labels (N,), int64 in 0..9.

    Raises:
        CourseError: no network and nothing cached, or the cached files are damaged.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition, 1998.
    """
    from torchvision.datasets import MNIST

    if split not in ("train", "test"):
        raise CourseError(f"MNIST has the splits train and test, not {split!r}.")
    root = Path(root) if root is not None else data_root()
    with fetching("MNIST", root, instead="digits(), which are always there"):
        dataset = MNIST(str(root), train=split == "train", download=True)
    images = dataset.data[:, None].float() / 127.5 - 1
    print(f"MNIST {split}: {len(images):,} images from {root}")
    return images, dataset.targets.long()
