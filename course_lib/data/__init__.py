"""Data: one file per family, all offline unless asked; `Batches` serves them from the device."""

from course_lib.data.batches import Batches
from course_lib.data.chairs import CHAIR_PARAMETERS, CHAIR_TYPES, Chairs, chair_shapes, chairs, render_chairs
from course_lib.data.digits import digits, mnist
from course_lib.data.toys import GaussianMixture, ring

__all__ = [
    "CHAIR_PARAMETERS",
    "CHAIR_TYPES",
    "Batches",
    "Chairs",
    "GaussianMixture",
    "chair_shapes",
    "chairs",
    "digits",
    "mnist",
    "render_chairs",
    "ring",
]
