"""Data: one file per family, all offline unless asked; `Batches` serves them from the device."""

from course_lib.data.batches import Batches
from course_lib.data.chairs import CHAIR_PARAMETERS, CHAIR_TYPES, Chairs, chair_shapes, chairs, render_chairs
from course_lib.data.digits import digits, mnist
from course_lib.data.faces import (
    EYE_PARAMETERS,
    FACE_ATTRIBUTES,
    FACE_GRAPH,
    INDEPENDENT_GRAPH,
    EyePairs,
    Mechanism,
    draw_attributes,
    draw_eyes,
    eye_landmarks,
    eye_pairs,
    faces,
    render_eyes,
    render_faces,
)
from course_lib.data.toys import GaussianMixture, ring

__all__ = [
    "CHAIR_PARAMETERS",
    "CHAIR_TYPES",
    "EYE_PARAMETERS",
    "FACE_ATTRIBUTES",
    "FACE_GRAPH",
    "INDEPENDENT_GRAPH",
    "Batches",
    "Chairs",
    "EyePairs",
    "GaussianMixture",
    "Mechanism",
    "chair_shapes",
    "chairs",
    "digits",
    "draw_attributes",
    "draw_eyes",
    "eye_landmarks",
    "eye_pairs",
    "faces",
    "mnist",
    "render_chairs",
    "render_eyes",
    "render_faces",
    "ring",
]
