"""Data: one file per family, all offline unless asked; `Batches` serves them from the device."""

from course_lib.data.batches import Batches
from course_lib.data.digits import digits, mnist
from course_lib.data.toys import GaussianMixture, ring

__all__ = ["Batches", "GaussianMixture", "digits", "mnist", "ring"]
