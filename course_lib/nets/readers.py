"""Classifiers that say what they saw on the way: features for the scores of generators, and logits."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import interpolate

from course_lib.errors import CourseError


class DigitReader(nn.Module):
    """A small convolutional classifier of 8 x 8 digits: two convolutions, a maximum, a layer of features, ten scores.

    Args:
        width: maps of the first convolution; the second has twice as many.
        features: F, units of the layer before the scores.
        classes: K.

    Shapes: images (N, 1, 8, 8) in [-1, 1] -> features (N, F), at least 0, and logits (N, K).
    """

    def __init__(self, width: int = 16, features: int = 32, classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 2 width, 4, 4)
            nn.Flatten(),
            nn.Linear(32 * width, features),
            nn.ReLU(),
        )
        self.head = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(images)
        return features, self.head(features)


class InceptionReader(nn.Module):
    """Inception v3 of torchvision, cut before its last layer: 2048 features, and the scores of ImageNet's 1000 classes.

    Its weights are random until a state dict of torchvision's `inception_v3` is loaded with `load`. It wants images in
    [-1, 1], as the course has them, of 299 x 299: others are resized (bilinear, smoothed before they are made smaller);
    of a grey one three equal channels are made.

    Shapes: images (N, 1 or 3, H, W) in [-1, 1] -> features (N, 2048), at least 0, and logits (N, 1000).

    Raises:
        CourseError: images with another number of channels.

    Szegedy et al. 2016, Rethinking the Inception Architecture for Computer Vision.
    """

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import inception_v3

        # transform_input would turn images normalised by ImageNet's mean and deviation into [-1, 1]: ours are there
        self.net = inception_v3(weights=None, aux_logits=True, transform_input=False, init_weights=False)
        self.head, self.net.fc = self.net.fc, nn.Identity()
        self.net.aux_logits, self.net.AuxLogits = False, None

    def load(self, state: dict[str, Tensor]) -> None:
        """Take torchvision's weights, as `Inception_V3_Weights.IMAGENET1K_V1` has them (its auxiliary scores go)."""
        own = {name: value for name, value in state.items() if not name.startswith(("AuxLogits.", "fc."))}
        self.net.load_state_dict(own)
        self.head.load_state_dict({"weight": state["fc.weight"], "bias": state["fc.bias"]})

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if images.dim() != 4 or images.shape[1] not in (1, 3):
            raise CourseError(f"Inception reads images (N, 1 or 3, H, W), not {tuple(images.shape)}.")
        images = images.expand(-1, 3, -1, -1)
        if images.shape[2:] != (299, 299):
            images = interpolate(images, size=(299, 299), mode="bilinear", align_corners=False, antialias=True)
        features = self.net(images)
        return features, self.head(features)
