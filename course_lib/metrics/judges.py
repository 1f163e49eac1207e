"""Judges: classifiers whose features and answers the inception score and the Fréchet distance are computed from.

reader = judge("digits")
score = inception_score(reader(samples).logits)
distance = frechet_distance(reader(real).features, reader(samples).features)
everything = appraise(reader, real, samples)
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from course_lib.data import Batches, digits
from course_lib.data.hub import data_root, fetched_weights
from course_lib.errors import CourseError
from course_lib.loop import descend, write_atomically
from course_lib.metrics.frechet import frechet_distance
from course_lib.metrics.inception import Score, inception_score
from course_lib.metrics.modes import class_coverage
from course_lib.metrics.neighbours import precision_recall
from course_lib.nets.readers import DigitReader, InceptionReader

CACHE_FORMAT = 1  # of the file with the digit reader's weights; count up when the net or its training changes


class Reading(NamedTuple):
    """What a judge says of N images: features (N, F) and logits (N, K), on the judge's device."""

    features: Tensor
    logits: Tensor


class Judge:
    """A classifier at rest that reads images of any number, batch by batch.

    Args:
        net: images (N, C, H, W) in [-1, 1] -> (features (N, F), logits (N, K)); put in evaluation mode, weights fixed.
        name: which net with which weights, in words, to stand beside every number it gives.
        accuracy: share of held-out images that it reads correctly; None where it was not measured.
        batch: images at a time.

    Attributes: name, accuracy, net, device.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        name: str,
        accuracy: float | None = None,
        device: torch.device | str = "cpu",
        batch: int = 500,
    ) -> None:
        self.net = net.to(device).eval().requires_grad_(False)
        self.name, self.accuracy, self.device, self.batch = name, accuracy, torch.device(device), batch

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Reading:
        """Features and logits of images (N, C, H, W), N at least 1; they may lie on another device.

        Raises:
            CourseError: there are no images.
        """
        if not len(images):
            raise CourseError("A judge needs images to read; there are none.")
        parts = [self.net(part.to(self.device)) for part in images.split(self.batch)]
        return Reading(torch.cat([features for features, _ in parts]), torch.cat([logits for _, logits in parts]))

    def __repr__(self) -> str:
        return f"Judge({self.name})"


def judge(which: str = "digits", *, seed: int = 0, device: torch.device | str = "cpu") -> Judge:
    """A judge by name; prints one line that says which net, with which weights, it is.

    Args:
        which: "digits": `DigitReader`, trained here in a few seconds on the training split of `digits`, once: its
            weights are kept in `data_root()`/weights. For images (N, 1, 8, 8), 32 features, 10 classes.
            "inception": Inception v3 with torchvision's ImageNet weights, downloaded once (104 MB) to the same folder.
            For images (N, 1 or 3, H, W), 2048 features, 1000 classes. It is not the Inception of 2015 with which papers
            compute FID and inception score: compare numbers only with others from this net.
        seed: of the digit reader's first weights and batches; each seed is a judge of its own.
        device: where it reads. Training is always on the CPU, so that every device has the same judge.

    Raises:
        CourseError: no such judge; Inception's weights are not there and cannot be downloaded.
    """
    if which == "digits":
        net, accuracy, how = _digit_reader(seed)
        name = f"digit reader {seed}"
        print(f"{name}: {how}, reads {accuracy:.1%} of the test digits")
        return Judge(net, name=name, accuracy=accuracy, device=device)
    if which == "inception":
        found = Judge(_inception(), name="Inception v3 (IMAGENET1K_V1 of torchvision)", device=device, batch=50)
        print(f"{found.name}, from {data_root() / 'weights'}")
        return found
    raise CourseError(f"There is no judge {which!r}; choose digits or inception.")


class Appraisal(NamedTuple):
    """What a judge says of samples, compared with real images.

    Attributes:
        score: inception score of the samples, mean and deviation, 1..K. The real images are not looked at.
        distance: Fréchet distance between features, squared; 0 is best.
        precision, recall: by nearest neighbours of features, each in [0, 1].
        classes: how many of the K classes the samples cover.
    """

    score: Score
    distance: float
    precision: float
    recall: float
    classes: int


def appraise(reader: Judge, real: Tensor, fake: Tensor, *, k: int = 3, splits: int = 1) -> Appraisal:
    """All scores of one set of samples.

    Precision and recall take the first min(N, M) of either side, since both depend on how many there are.

    Args:
        real: (N, C, H, W). fake: (M, C, H, W), shuffled. Both in [-1, 1].
        k: neighbours, of `precision_recall`.
        splits: parts, of `inception_score`.

    Raises:
        CourseError: fewer images than the scores need.
    """
    x, y = reader(real), reader(fake)
    n = min(len(real), len(fake))
    precision, recall = precision_recall(x.features[:n], y.features[:n], k=k)
    return Appraisal(
        score=inception_score(y.logits, splits=splits),
        distance=frechet_distance(x.features, y.features),
        precision=precision,
        recall=recall,
        classes=class_coverage(y.logits).modes,
    )


def train_digit_reader(seed: int = 0, *, epochs: int = 20) -> tuple[DigitReader, float]:
    """A `DigitReader` trained on the digits' training split, and its accuracy on their test split, in [0, 1].

    Adam with a rate that falls to 0, on the CPU; labels are smoothed by 0.1 (Szegedy et al. 2016, section 7), which
    reads better. It also leaves the net unsure of everything, so that in the end its logits are multiplied by the
    number from 1 to 8 at which the test digits are likeliest (Guo et al. 2017, On Calibration of Modern Neural
    Networks, section 4.2); no answer changes by that. The global generators are left as they were.
    """
    images, labels = digits("train")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = DigitReader()
    batches = Batches(images, labels, size=64, seed=seed)
    optimizer, steps = torch.optim.Adam(net.parameters(), lr=3e-3), epochs * len(batches)
    for step, (x, y) in zip(range(steps), batches, strict=False):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        descend(optimizer, cross_entropy(net(x)[1], y, label_smoothing=0.1))
    images, labels = digits("test")
    with torch.no_grad():
        logits = net(images)[1]
        factors = torch.linspace(1, 8, 71)
        best = factors[torch.stack([cross_entropy(factor * logits, labels) for factor in factors]).argmin()]
        net.head.weight *= best
        net.head.bias *= best
        accuracy = (logits.argmax(1) == labels).double().mean()
    return net, float(accuracy)


def _digit_reader(seed: int) -> tuple[DigitReader, float, str]:
    """The net, its accuracy, and in words where it is from."""
    path = data_root() / "weights" / f"digit-reader-{CACHE_FORMAT}-{seed}.pt"
    if path.exists():
        try:
            kept = torch.load(path, map_location="cpu", weights_only=True)
            net = DigitReader()
            net.load_state_dict(kept["weights"])
            return net, float(kept["accuracy"]), f"from {path}"
        except Exception as error:  # whatever a damaged file does to torch.load
            print(f"{path} cannot be read ({type(error).__name__}); the digit reader is trained again.")
    start = time.perf_counter()
    net, accuracy = train_digit_reader(seed)
    how = f"trained in {time.perf_counter() - start:.1f} s"
    kept = {"weights": net.state_dict(), "accuracy": accuracy}
    try:
        write_atomically(path, lambda file: torch.save(kept, file))
    except CourseError as error:
        print(f"{error} Until then the digit reader is trained each time.")
    return net, accuracy, how


def _inception() -> InceptionReader:
    from torchvision.models import Inception_V3_Weights

    url = Inception_V3_Weights.IMAGENET1K_V1.url
    what = f"Inception's weights ({Path(url).name}, 104 MB)"
    net = InceptionReader()
    net.load(fetched_weights(what, url, instead='judge("digits") for digits'))
    return net
