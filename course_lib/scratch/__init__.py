"""Layers and optimizers written by hand, with no autograd: the forward and the backward pass side by side."""
