"""Layers and optimizers written by hand, with no autograd: the forward and the backward pass side by side."""

from course_lib.scratch.gradcheck import gradient_check, numerical_gradient, relative_error
from course_lib.scratch.images import Conv2d, MaxPool2d
from course_lib.scratch.layers import Flatten, Layer, Linear, ReLU, Sequential, Sigmoid, SoftmaxCrossEntropy, Tanh
from course_lib.scratch.normalization import BatchNorm, LayerNorm, WeightNormLinear, set_training
from course_lib.scratch.transformer import AffineGrid, BilinearSampler

__all__ = [
    "AffineGrid",
    "BatchNorm",
    "BilinearSampler",
    "Conv2d",
    "Flatten",
    "Layer",
    "LayerNorm",
    "Linear",
    "MaxPool2d",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "SoftmaxCrossEntropy",
    "Tanh",
    "WeightNormLinear",
    "gradient_check",
    "numerical_gradient",
    "relative_error",
    "set_training",
]
