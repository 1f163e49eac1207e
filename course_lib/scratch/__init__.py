"""Layers and optimizers written by hand, with no autograd: the forward and the backward pass side by side."""

from course_lib.scratch.gradcheck import gradient_check, numerical_gradient, relative_error
from course_lib.scratch.images import Conv2d, MaxPool2d
from course_lib.scratch.layers import Flatten, Layer, Linear, ReLU, Sequential, Sigmoid, SoftmaxCrossEntropy, Tanh

__all__ = [
    "Conv2d",
    "Flatten",
    "Layer",
    "Linear",
    "MaxPool2d",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "SoftmaxCrossEntropy",
    "Tanh",
    "gradient_check",
    "numerical_gradient",
    "relative_error",
]
