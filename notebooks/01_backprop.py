# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 · Layers and the chain rule
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-organisation/networks-that-generate/blob/main/notebooks/01_backprop.ipynb)
#
# Everything in this course is trained by one algorithm. Today we build it from nothing but NumPy: no `autograd`, no
# `torch` inside, only multiplication, addition, and one rule of calculus.
#
# **You will be able to**
#
# - derive the backward pass of any layer from the vector chain rule, dz/dx = (dy/dx)ᵀ dz/dy;
# - write a layer (`forward`, `backward`, `update`): matrix multiplication, convolution with padding and stride,
#   max-pooling, nonlinearities;
# - prove that a backward pass is right, and find out why it is wrong, with a gradient check;
# - train a convolutional network on real handwritten digits with code of which you understand every line.
#
# **Time** about 90 minutes of reading and playing. The cells run for about a minute on a laptop; a T4 makes no
# difference, because NumPy computes on the CPU.
#
# **You need** derivatives of functions of several variables, matrix multiplication, and Python with NumPy.

# %% tags=["parameters"]
BUDGET = "auto"  # smoke, laptop, gpu, paper; auto chooses by the device
SEED = 0

# %%
# Setup. On Colab this installs the course and changes nothing else there; elsewhere it only imports it.
try:
    import course_lib
except ImportError:
    import subprocess
    import sys

    address = "course_lib @ git+https://github.com/your-organisation/networks-that-generate@main"
    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", address])
    import course_lib

import time

import matplotlib.pyplot as plt
import numpy as np
import torch

from course_lib.data import digits
from course_lib.draw import COLOURS, curves, image_grid
from course_lib.explore import choice, explore, slider
from course_lib.outcomes import record
from course_lib.scratch import pictures

device, budget = course_lib.start(BUDGET, SEED)
rng = np.random.default_rng(SEED)

# %% [markdown]
# ## 1 · A lock made of cats
#
# **Question.** A classifier is right 60 % of the time, another one 98.9 %. Is the second less than twice as good?
#
# From 2007 on, Microsoft's *Asirra* kept robots out of web pages. It showed 12 photographs of pets and let you in if you
# clicked on all the cats. People manage that 99.6 % of the time
# ([Elson et al. 2007](https://microsoft.com/research/publication/asirra-a-captcha-that-exploits-interest-aligned-manual-image-categorization)).
# Experts in computer vision, [asked in a poll](https://www.kaggle.com/c/dogs-vs-cats), thought that a program which tells cats from dogs
# better than 60 % of the time would need a major advance. The lock opens only if **all** twelve answers are right, and if a program errs independently from
# picture to picture, probabilities multiply:
#
# $$P(\text{open}) = p^{12}.$$
#
# **Predict.** Put numbers to it in your head: for p = 0.6, for p = 0.827 (support vector machines, 2008), and for
# p = 0.989 (a convolutional network, 2014). How many attempts does a robot need, on average, with each?

# %%
chances = {p: p**12 for p in (0.5, 0.6, 0.827, 0.989)}
for p, chance in chances.items():
    print(f"p = {p:.3f}:  p¹² = {chance:.5f}, one attempt in {1 / chance:,.1f}")

# %%
p = np.linspace(0.4, 1, 400)
_, axes = plt.subplots(1, 2, figsize=(9.6, 3.4))
for ax, scale, title in zip(axes, ("linear", "log"), ("twelve answers in a row", "the same, logarithmic"), strict=True):
    for n, colour in ((1, "#999999"), (4, COLOURS[5]), (12, COLOURS[0])):
        ax.plot(p, p**n, color=colour, label=f"{n} picture{'s' * (n > 1)}")
    for value, label in ((0.6, "experts' limit"), (0.827, "SVM, 2008"), (0.989, "conv net, 2014")):
        ax.plot(value, value**12, "o", color=COLOURS[1])
        if scale == "log":
            place = (value - 0.015, value**12 * 1.5) if value < 0.9 else (value - 0.015, 1.6)
            ax.annotate(label, (value, value**12), place, ha="right", fontsize=9)
    ax.set(yscale=scale, xlabel="p, right answers on one picture", ylabel="chance to open the lock", title=title)
axes[1].set_ylim(1e-5, 4)
axes[0].legend()
plt.show()

# %% [markdown]
# A curve like that is why the last few per cent matter. From 0.6 to 0.989 a single answer improves by a factor of 1.65;
# the whole task, twelve answers in a row, by a factor of 400. Images that a network *generates* are such tasks: thousands
# of numbers that all have to fit.
#
# But is p¹² true? It is if the errors are independent. Let us open some locks.

# %%
locks = rng.random((100_000, 12)) < 0.989  # True where the answer is right
record("simulated locks opened at 98.9 % a picture", locks.all(axis=1).mean(), at_least=0.870, at_most=0.881)


# %%
def draw_lock(p, pictures_per_lock):
    attempts = np.arange(1, 101)
    _, ax = plt.subplots(figsize=(6.4, 3.0))
    open_one = p**pictures_per_lock
    ax.plot(attempts, 1 - (1 - open_one) ** attempts)
    ax.set(ylim=(0, 1.05), xlabel="attempts", ylabel="chance that one succeeded")
    ax.set_title(f"one attempt succeeds with probability {open_one:.2g}")


explore(draw_lock, p=slider(0.5, 1.0, 0.83, step=0.01), pictures_per_lock=slider(1, 24, 12, label="pictures"))

# %% [markdown]
# **Play.** A robot may try a hundred times before it is shut out. Which p gives it an even chance? How many pictures must a
# lock have so that a program with p = 0.989 fails half of the time?
#
# **What went wrong.** The 2007 paper put a computer's chance at one in 54,000, "barring a major advance in machine
# vision". A year later [Golle](http://crypto.stanford.edu/~pgolle/papers/dogcat.html) reached p = 0.827 and 10.3 %, without
# any such advance. In October 2014, after the winner of a public contest on its pictures had reached 0.989, Asirra was
# shut down. What the winner used is what we build now: layers, and a way to teach them.

# %% [markdown]
# ## 2 · The chain rule for vectors
#
# **Question.** A number z depends on many y, and each y on many x. If one x moves a little, how does z move?
#
# Take the smallest example with two of each: y₁ = x₁·x₂, y₂ = x₁ + x₂, z = y₁·y₂, at x = (2, 3).

# %%
pictures.chain_graph(2, 3)
plt.show()

# %% [markdown]
# Blue numbers are computed from left to right. Now the orange ones. Move x₁ by a small δ. Then y₁ moves by 3δ and
# y₂ by δ; a unit of y₁ is worth 5 to z, a unit of y₂ is worth 6. Together z moves by (3·5 + 1·6)δ = 21δ:
#
# $$\frac{\partial z}{\partial x_i} = \sum_j \frac{\partial y_j}{\partial x_i}\,\frac{\partial z}{\partial y_j}.$$
#
# Every *path* from x₁ to z contributes the product along its arrows, and paths add up.
#
# **The same for vectors.** Let y = f(x) and collect the slopes in the Jacobian matrix dy/dx, row j, column i:
# (dy/dx)ⱼᵢ = ∂yⱼ/∂xᵢ. If x moves by a small vector δ, y moves by (dy/dx) δ. The gradient dz/dy is *defined* as the
# vector whose scalar product with a small movement of y is the movement of z. So
#
# $$\text{movement of } z
# = \left(\frac{dz}{dy}\right)^{\!\top}\left(\frac{dy}{dx}\,\delta\right)
# = \left(\left(\frac{dy}{dx}\right)^{\!\top}\frac{dz}{dy}\right)^{\!\top}\delta ,$$
#
# for every δ, and the vector in front of δ is by definition dz/dx:
#
# $$\boxed{\;\frac{dz}{dx} = \left(\frac{dy}{dx}\right)^{\!\top}\frac{dz}{dy}\;}$$
#
# Forward, a layer applies its function; backward, the *transpose* of its slope. In code:

# %%
x = np.array([2.0, 3.0])
y = np.array([x[0] * x[1], x[0] + x[1]])
dy_dx = np.array([[x[1], x[0]], [1.0, 1.0]])  # row: which y; column: which x
dz_dy = np.array([y[1], y[0]])  # z = y₁·y₂
dz_dx = dy_dx.T @ dz_dy
print("dz/dx =", dz_dx)


def whole(x1, x2):
    return (x1 * x2) * (x1 + x2)


print("moving x₁ by 0.001 moves z by", round(whole(2.001, 3) - whole(2, 3), 6), "≈ 0.001 ·", dz_dx[0])

# %%
explore(pictures.chain_graph, x1=slider(-3, 3, 2, label="x₁"), x2=slider(-3, 3, 3, label="x₂"))

# %% [markdown]
# **Play.** Find x ≠ 0 where dz/dx₁ = 0 although no arrow on the way from x₁ carries a zero. (Two paths can cancel.)
#
# ### Why backward?
#
# With L layers in a row, dz/dx⁰ = J₁ᵀ J₂ᵀ … J_Lᵀ dz/dxᴸ. The product may be taken from either end; the result is the same.
#
# **Predict.** Let each of 20 layers have 300 inputs and 300 outputs. Counting multiplications, by which factor is it
# cheaper to start at the loss (right end) than at the input (left end)?

# %%
n, layers = 300, 20
jacobians = [rng.normal(size=(n, n)) / np.sqrt(n) for _ in range(layers)]
last = rng.normal(size=n)

start = time.perf_counter()
from_loss = last
for J in reversed(jacobians):
    from_loss = J.T @ from_loss  # matrix times vector: n² multiplications
middle = time.perf_counter()
product = jacobians[0].T
for J in jacobians[1:]:
    product = product @ J.T  # matrix times matrix: n³
from_input = product @ last
end = time.perf_counter()

print(f"multiplications: from the loss {layers * n**2:.1e}, from the input {(layers - 1) * n**3 + n**2:.1e}")
print(f"seconds:         from the loss {middle - start:.1e}, from the input {end - middle:.1e}")
print("same result:", np.allclose(from_loss, from_input))

# %% [markdown]
# <details><summary>Answer</summary>
#
# About n = 300 times, (L − 1)n³ + n² against L n². That is why it is called *back*propagation: the loss is one number, so
# from its end there is always only a vector to carry. (If there were one input and many outputs, the other end would
# be the cheap one.) The seconds show a smaller factor than the count, since big products use the processor better.
# </details>
#
# And no Jacobian is ever built. An image of 100 × 100 mapped to another has a Jacobian with 10⁸ entries, but a layer
# only needs to know how to multiply its transpose by a vector, and that is as cheap as the layer itself.

# %% [markdown]
# ## 3 · A layer
#
# **Question.** What must a building block know, so that any stack of such blocks can be trained?

# %%
pictures.layer_box()
plt.show()
pictures.layer_chain()
plt.show()

# %% [markdown]
# Only what touches it. Forward it gets x and gives y = f(x; w), where w are its parameters. Backward it gets dz/dy, of
# the shape of y, and gives, by the boxed rule applied to its two inputs x and w,
#
# $$\frac{dz}{dx} = \left(\frac{dy}{dx}\right)^{\!\top}\frac{dz}{dy}, \qquad
# \frac{dz}{dw} = \left(\frac{dy}{dw}\right)^{\!\top}\frac{dz}{dy}.$$
#
# The first goes on to the layer before; the second stays, for the update w ← w − τ dz/dw. (The minus, because z is a
# loss and should fall.) That is the whole contract:


# %%
class Layer:
    def __init__(self):
        self.w, self.dz_dw = {}, {}  # parameters and their gradients, by name

    def forward(self, x): ...  # returns y, keeps what backward will need

    def backward(self, dz_dy): ...  # returns dz_dx, sets dz_dw

    def update(self, learning_rate):
        for name in self.w:
            self.w[name] -= learning_rate * self.dz_dw[name]


# %% [markdown]
# ### Multiplication by a matrix
#
# One example: y = W x + b. Moving x by δ moves y by W δ, so dy/dx = W and **dz/dx = Wᵀ dz/dy**. Moving one entry Wⱼᵢ by δ
# moves only yⱼ, by δxᵢ; so ∂z/∂Wⱼᵢ = xᵢ ∂z/∂yⱼ, the outer product **dz/dW = (dz/dy) xᵀ**. And **dz/db = dz/dy**.
#
# A batch has N examples as the *rows* of x (N, inputs). Transpose everything: y = x Wᵀ + b. W and b are shared by all
# rows, N paths lead from them to z, and paths add up:
#
# $$\frac{dz}{dx} = \frac{dz}{dy}\,W, \qquad \frac{dz}{dW} = \left(\frac{dz}{dy}\right)^{\!\top} x
# = \sum_n \frac{dz}{dy_n}\,x_n^{\top}, \qquad \frac{dz}{db} = \sum_n \frac{dz}{dy_n}.$$


# %%
class Linear(Layer):
    def __init__(self, inputs, outputs, rng):
        super().__init__()
        self.w = {"weight": rng.normal(0, np.sqrt(2 / inputs), (outputs, inputs)), "bias": np.zeros(outputs)}

    def forward(self, x):
        self.x = x  # (N, inputs)
        return x @ self.w["weight"].T + self.w["bias"]  # (N, outputs)

    def backward(self, dz_dy):
        self.dz_dw = {"weight": dz_dy.T @ self.x, "bias": dz_dy.sum(axis=0)}
        return dz_dy @ self.w["weight"]  # (N, inputs)


# %% [markdown]
# ### Elementwise nonlinearities
#
# yᵢ = f(xᵢ): each output looks at one input only, so the Jacobian is diagonal, and its transpose times a vector is a
# product number by number: **dz/dx = f′(x) · dz/dy**.
#
# | | f(x) | f′(x) |
# |---|---|---|
# | ReLU | max(x, 0) | 1 where x > 0, else 0 |
# | tanh | tanh x | 1 − y² |
# | sigmoid | 1 / (1 + e⁻ˣ) | e⁻ˣ / (1 + e⁻ˣ)² = y (1 − y) |
#
# The last two can be had from the output y alone, so y is what the layer keeps.


# %%
class ReLU(Layer):
    def forward(self, x):
        self.positive = x > 0
        return np.where(self.positive, x, 0)

    def backward(self, dz_dy):
        return np.where(self.positive, dz_dy, 0)


# %% [markdown]
# These three classes are enough for a first network. Two half-moons of points, a hidden layer of 16 numbers, and the
# squared distance to the label ±1 as the loss, z = mean (y − label)², dz/dy = 2(y − label)/N.
#
# **Predict.** We train two networks, Linear–ReLU–Linear and Linear–Linear. They have the same number of parameters. What
# will the boundary of each look like?

# %%
from sklearn.datasets import make_moons

points, side = make_moons(300, noise=0.12, random_state=SEED)
target = 2.0 * side[:, None] - 1  # (N, 1)


def fit_moons(network, steps=1500, learning_rate=0.04):
    for _ in range(steps):
        y = points
        for layer in network:
            y = layer.forward(y)
        dz_dy = 2 * (y - target) / len(points)
        for layer in reversed(network):
            dz_dy = layer.backward(dz_dy)
        for layer in network:
            layer.update(learning_rate)
    return network


moon_rng = np.random.default_rng(SEED)
networks = {
    "Linear, ReLU, Linear": [Linear(2, 16, moon_rng), ReLU(), Linear(16, 1, moon_rng)],
    "Linear, Linear": [Linear(2, 16, moon_rng), Linear(16, 1, moon_rng)],
}
grid = np.stack(np.meshgrid(np.linspace(-1.6, 2.6, 120), np.linspace(-1.1, 1.6, 90)), axis=-1)  # (90, 120, 2)
_, axes = plt.subplots(1, 2, figsize=(9.2, 3.3))
for ax, (name, network) in zip(axes, networks.items(), strict=True):
    y, shown = points, grid.reshape(-1, 2)
    for layer in fit_moons(network):
        shown = layer.forward(shown)
    for layer in network:
        y = layer.forward(y)
    right = ((y > 0) == (target > 0)).mean()
    ax.contourf(*np.moveaxis(grid, -1, 0), shown.reshape(90, 120), levels=[-99, 0, 99], colors=["#d6e6f2", "#f8e0cf"])
    ax.scatter(*points.T, c=np.where(side == 1, COLOURS[1], COLOURS[0]), s=9)
    ax.set(title=f"{name}: {right:.1%} right", xlabel="x₁", ylabel="x₂")
plt.show()

# %% [markdown]
# <details><summary>Answer</summary>
#
# Without the ReLU the boundary is a straight line, however many layers there are: W₂(W₁x + b₁) + b₂ is again a matrix
# times x plus a vector. Depth without nonlinearity is one layer in disguise. With it the boundary bends: each hidden
# number contributes one crease.
# </details>
#
# ### What ten nonlinearities do to a gradient
#
# **Predict.** A signal crosses ten layers, each a random matrix followed by a nonlinearity. We feed a gradient of length 1
# into the far end and measure its length on the way back. Which nonlinearity lets it through?

# %%
from course_lib import scratch

depth, width = 10, 128


def lengths_on_the_way_back(nonlinearity, seed=SEED):
    """|dz/dx| at every layer boundary, from the loss (1.0) to the input: depth + 1 numbers."""
    local = np.random.default_rng(seed)
    blocks = [scratch.Sequential(scratch.Linear(width, width, rng=local), nonlinearity()) for _ in range(depth)]
    x = local.normal(size=(1, width))
    for block in blocks:
        x = block.forward(x)
    g = local.normal(size=x.shape)
    g /= np.linalg.norm(g)
    lengths = [1.0]
    for block in reversed(blocks):
        g = block.backward(g)
        lengths.append(np.linalg.norm(g))
    return np.array(lengths)


flow = {f.__name__: lengths_on_the_way_back(f) for f in (scratch.ReLU, scratch.Tanh, scratch.Sigmoid)}
curves(flow, xlabel="layers crossed on the way back", ylabel="length of the gradient", logy=True)
plt.show()
record("gradient left after ten layers, ReLU / sigmoid", flow["ReLU"][-1] / flow["Sigmoid"][-1], at_least=1000)

# %% [markdown]
# <details><summary>Why</summary>
#
# σ′ = y(1 − y) is at most ¼, and W with entries of variance 2/n lengthens a vector by √2 on average. So a sigmoid layer
# keeps at most √2/4 ≈ 0.35 of the length, and ten of them 3·10⁻⁵. A ReLU lets half of the entries through unchanged: √½ of the
# length, times √2 from the matrix, is 1. (Tanh has slope 1 at zero, and stays close to that here.) That is where the 2/n of `Linear` comes from
# ([He et al. 2015](https://arxiv.org/abs/1502.01852)).
# </details>
#
# **What went wrong.** For twenty years deep networks were built with sigmoids, and their first layers hardly learned. It is
# called the vanishing gradient; you will meet it again when a GAN's critic becomes too good for its generator.

# %% [markdown]
# ## 4 · Is it right?
#
# **Question.** A backward pass is twenty lines of index juggling. A wrong one still runs, and often still learns, worse. How
# do you *know*?
#
# Ask the forward pass. It knows nothing of your derivation. Move one number by h to either side:
#
# $$z(x \pm h) = z(x) \pm h z' + \tfrac{h^2}{2} z'' \pm \tfrac{h^3}{6} z''' + \dots
# \quad\Rightarrow\quad \frac{z(x+h) - z(x-h)}{2h} = z' + \tfrac{h^2}{6} z''' + \dots$$
#
# The even terms cancel, which makes central differences far better than one-sided ones, (z(x+h) − z(x))/h = z′ + h z″/2 + ….
# But a computer rounds z to about 16 digits (float64, ε ≈ 10⁻¹⁶), and the difference is divided by h: that adds an error
# of about ε|z|/h.
#
# **Predict.** We differentiate eˣ at x = 1. Which h is best for central differences in float64? In float32 (ε ≈ 6·10⁻⁸)?
# What happens for smaller h?

# %%
h = 10.0 ** np.arange(-14, 0.1, 0.25)


def errors_of_differences(function, slope, at, central, dtype):
    x, steps = dtype(at), h.astype(dtype)
    if central:
        estimate = (function(x + steps) - function(x - steps)) / (2 * steps)
    else:
        estimate = (function(x + steps) - function(x)) / steps
    return np.abs(estimate.astype(float) - slope) + 1e-17


def draw_errors(function, at):
    f, slope = {
        "exp": (np.exp, np.exp(at)),
        "sin": (np.sin, np.cos(at)),
        "relu": (lambda x: np.maximum(x, 0), float(at > 0)),
    }[function]
    _, ax = plt.subplots(figsize=(6.8, 3.6))
    for central, dtype, colour in ((True, np.float64, 0), (False, np.float64, 5), (True, np.float32, 1)):
        label = f"{'central' if central else 'one-sided'}, {dtype.__name__}"
        ax.loglog(h, errors_of_differences(f, slope, at, central, dtype), color=COLOURS[colour], label=label)
    ax.set(xlabel="step h", ylabel="error of the derivative", title=f"{function} at x = {at:g}", ylim=(1e-13, 30))
    ax.legend()


draw_errors("exp", 1.0)
plt.show()

# %% [markdown]
# <details><summary>Answer</summary>
#
# The sum h²|z‴|/6 + ε|z|/h is smallest where its derivative vanishes, at h = (3ε|z/z‴|)^⅓ ≈ 7·10⁻⁶ in float64, and leaves
# about 10⁻¹¹. Smaller steps are *worse*: rounding takes over. In float32 the best that can be had is 10⁻⁵, and a check to
# 10⁻⁶ is hopeless. So: **h = 10⁻⁵, float64**.
# </details>

# %%
explore(draw_errors, function=choice("exp", "sin", "relu"), at=slider(-0.02, 1.0, 0.01, step=0.01, label="x"))

# %% [markdown]
# **Play.** Choose `relu` and x = 0.01. Where does the error rise from nothing towards ½, and why there? Now x = 0.
#
# A ReLU has no derivative at 0, and a difference that straddles the kink measures neither slope. Reports of "wrong ReLU
# gradients" are often this: in [pytorch#114234](https://github.com/pytorch/pytorch/issues/114234) the numerical slope is ½
# and the computed one 1, for an input made by `torch.empty`, that is, whatever was in memory, most likely numbers much closer
# to 0 than h. Caffe's authors proposed to accept anything [between the left and the right slope](https://github.com/BVLC/caffe/issues/1334).
# We do the simple thing and check at random points, which almost never lie within 10⁻⁵ of a kink.
#
# ### The check, in ten lines
#
# A layer's output is not one number but many. Make it one: draw a random r of the shape of y and let z = Σ r·y. Then
# dz/dy = r, and what `backward(r)` returns must be what the differences of z show, for x and for every parameter.


# %%
def central_differences(z, array, h=1e-5):
    slopes = np.zeros_like(array)
    for index in np.ndindex(*array.shape):
        kept = array[index]
        array[index] = kept + h
        above = z()
        array[index] = kept - h
        slopes[index] = (above - z()) / (2 * h)
        array[index] = kept
    return slopes


def check(layer, x):
    r = rng.normal(size=layer.forward(x).shape)
    gradients = {"x": layer.backward(r), **layer.dz_dw}
    for name, array in {"x": x, **layer.w}.items():
        slopes = central_differences(lambda: np.sum(r * layer.forward(x)), array)
        a, b = np.linalg.norm(gradients[name] - slopes), np.linalg.norm(gradients[name]) + np.linalg.norm(slopes)
        print(f"dz/d{name:7} relative error {a / b:.1e}")


check(Linear(4, 3, rng), rng.normal(size=(5, 4)))

# %% [markdown]
# The *relative* error |a − b| / (|a| + |b|) does not depend on the scale: 0 is equal, 1 as different as possible. Right is
# below 10⁻⁶, usually 10⁻¹⁰; a bug is above 10⁻². There is hardly anything in between, which makes it so good a test.
#
# The library's version, `course_lib.scratch.gradient_check`, does the same and also looks at the contract: are the shapes right,
# did `forward` change its input, does the layer remember something of the batch before? Here are the library's layers:

# %%
from course_lib.scratch import (
    Conv2d,
    Flatten,
    MaxPool2d,
    Sequential,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
    gradient_check,
)

print(
    gradient_check(
        Sequential(scratch.Linear(4, 6, rng=rng), Tanh(), scratch.Linear(6, 3, rng=rng), Sigmoid()),
        rng.normal(size=(5, 4)),
    )
)

# %% [markdown]
# ## 5 · Generalized convolution
#
# **Question.** A photograph has a million pixels; a matrix that maps it to another has 10¹² entries. What can be left out?
#
# Two things. An edge can be seen in a small **window**, so the sum runs over the window only. And an edge is an edge
# anywhere, so every window has the **same** weights. What remains of the matrix is a *kernel* of a few numbers.

# %%
images, labels = digits("train")
digit = images[labels == 2][4, 0].numpy()  # (8, 8)
vertical = np.array([[-1.0, 0.0, 1.0]] * 3) / 3
pictures.convolution(digit, vertical, stride=1, padding=1, position=26)
plt.show()

# %% [markdown]
# The slides write it for a window of side 2δ + 1, input map s, output map t, at position (x, y):
#
# $$V(x,y,t) = \sum_{i=x-\delta}^{x+\delta}\;\sum_{j=y-\delta}^{y+\delta}\;\sum_{s=1}^{S}
# K(i-x+\delta,\; j-y+\delta,\; s,\; t)\; U(i,j,s).$$
#
# "Generalized", because besides the two sums over the window there is one over all input maps (a colour image has
# three, a hidden layer hundreds), and each output map t has its own kernel. Put a = i − x + δ, b = j − y + δ for the place
# inside the window, add a bias, and add two freedoms: **padding**, p zeros around the image, written x̄, so that the border has
# windows too; and **stride** q, the step from one window to the next:
#
# $$y_{n,t,i,j} = b_t + \sum_{s}\sum_{a=0}^{k-1}\sum_{b=0}^{k-1} K_{t,s,a,b}\;\bar x_{n,s,\,iq+a,\,jq+b}.$$
#
# **How large is y?** The last window must end inside: iq + k ≤ H + 2p. The largest such i is ⌊(H + 2p − k)/q⌋, and counting from
# zero,
#
# $$H' = \left\lfloor\frac{H + 2p - k}{q}\right\rfloor + 1 .$$


# %%
def convolve(x, weight, bias, stride, padding):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))  # (N, S, H, W)
    k = weight.shape[-1]
    rows, columns = ((size - k) // stride + 1 for size in x.shape[2:])
    y = np.zeros((len(x), len(weight), rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = x[:, :, i * stride : i * stride + k, j * stride : j * stride + k]  # (N, S, k, k)
            y[:, :, i, j] = np.einsum("nsab,tsab->nt", window, weight) + bias
    return y


# %% [markdown]
# What can nine numbers see? A photograph, and four kernels:

# %%
from sklearn.datasets import load_sample_image

photo = load_sample_image("china.jpg").mean(axis=2)[60:400:2, 120:520:2] / 127.5 - 1  # (170, 200) in [-1, 1]
kernels = {
    "blur": np.ones((3, 3)) / 9,
    "vertical edges": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4,
    "horizontal edges": np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]) / 4,
    "centre − surround": np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]) / 4,
}
weight = np.stack(list(kernels.values()))[:, None]  # (4, 1, 3, 3)
seen = convolve(photo[None, None], weight, np.zeros(4), stride=1, padding=1)[0]  # (4, 170, 200)
_, axes = plt.subplots(1, 5, figsize=(12.5, 2.6))
for ax, picture, name in zip(axes, [photo, *seen], ["photograph", *kernels], strict=True):
    ax.imshow(picture, cmap="gray", vmin=-1, vmax=1)
    ax.set_title(name)
    ax.set_axis_off()
plt.show()


# %%
def draw_window(kernel, stride, padding, position):
    pictures.convolution(digit, kernels[kernel], stride=stride, padding=padding, position=position)


explore(
    draw_window,
    kernel=choice(*kernels, start="vertical edges"),
    stride=slider(1, 4, 2),
    padding=slider(0, 2, 1),
    position=slider(0, 35, 5),
)

# %% [markdown]
# **Play.** With stride 4 and no padding, which pixels are in no window? Why does the output have coloured borders where the
# input is evenly black? (What number is black, and what number is the padding?) With which padding and stride has the output the size of the
# input? Half its size?
#
# ### The way back
#
# y is linear in K and linear in x, so each derivative can be read off the formula. ∂y/∂K is the pixel that K was multiplied
# by, and K has paths to *all* outputs of its map, in all images; they add up:
#
# $$\frac{\partial z}{\partial K_{t,s,a,b}} = \sum_{n,i,j} \frac{\partial z}{\partial y_{n,t,i,j}}\; \bar x_{n,s,\,iq+a,\,jq+b},
# \qquad \frac{\partial z}{\partial b_t} = \sum_{n,i,j} \frac{\partial z}{\partial y_{n,t,i,j}} .$$
#
# A pixel (u, v) has a path to (t, i, j) for each window in which it lies, with slope K at its place a = u − iq, b = v − jq there:
#
# $$\frac{\partial z}{\partial \bar x_{n,s,u,v}} = \sum_{t}\;\sum_{i,j} K_{t,s,\,u-iq,\,v-jq}\;\frac{\partial z}{\partial y_{n,t,i,j}},$$
#
# over those i, j for which the index of K lies in the window; and x̄'s padding is cut off. For q = 1 this is itself a
# convolution, of dz/dy with the kernel turned by half a turn (its index runs *against* i). In code there is no need to find the
# windows of a pixel: go through the windows, and let each add its share. Compare the lines with those of `convolve`:


# %%
def convolve_backward(dz_dy, x, weight, stride, padding):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    k = weight.shape[-1]
    dz_dx, dz_dweight = np.zeros(x.shape), np.zeros(weight.shape)
    for i in range(dz_dy.shape[2]):
        for j in range(dz_dy.shape[3]):
            here = np.s_[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
            dz_dx[here] += np.einsum("nt,tsab->nsab", dz_dy[:, :, i, j], weight)
            dz_dweight += np.einsum("nt,nsab->tsab", dz_dy[:, :, i, j], x[here])
    h, w = x.shape[2:]
    return dz_dx[:, :, padding : h - padding, padding : w - padding], dz_dweight, dz_dy.sum(axis=(0, 2, 3))


# %% [markdown]
# **The same thing as a matrix.** A convolution is linear, so there is a matrix M with y = M x (images read row by row as long
# vectors), and section 2 says dz/dx = Mᵀ dz/dy. Column u of M is the output for the image that is 1 at pixel u and 0 elsewhere. Here
# is M for a 5 × 5 image, a 3 × 3 kernel, padding 1, stride 2. White is zero; equal colours are equal weights.

# %%
side, kernel = 5, rng.normal(size=(1, 1, 3, 3))
basis = np.eye(side * side).reshape(-1, 1, side, side)  # 25 images of one bright pixel each
M = convolve(basis, kernel, np.zeros(1), stride=2, padding=1).reshape(side * side, -1).T  # (9, 25)
pictures.matrix_of_convolution(M, side)
plt.show()

r = rng.normal(size=(1, 1, 3, 3))
dz_dx, _, _ = convolve_backward(r, rng.normal(size=(1, 1, side, side)), kernel, stride=2, padding=1)
print("Mᵀ dz/dy equals convolve_backward:", np.allclose(M.T @ r.ravel(), dz_dx.ravel()))
print(f"the matrix has {M.size} entries, {np.count_nonzero(M)} of them not zero, and {kernel.size} different weights")

# %% [markdown]
# Look at the right-hand picture again: it maps 9 numbers to 25. The backward pass of a convolution with stride 2 turns a
# small image into a large one. Used as a *forward* pass it is called a transposed convolution, and it is how
# the generators of later units grow pictures out of noise.
#
# ### How many windows does a pixel lie in?
#
# Let K = 1 everywhere and dz/dy = 1 everywhere. Then dz/dx counts, for each pixel, its windows.
#
# **Predict.** Draw the counts on paper for an image of 7 × 7: (a) kernel 3, stride 1; (b) kernel 3, stride 2; (c) kernel 2, stride 4.
# No padding.

# %%
_, axes = plt.subplots(1, 3, figsize=(9.4, 3.3))
for ax, (k, stride) in zip(axes, ((3, 1), (3, 2), (2, 4)), strict=True):
    outputs = (7 - k) // stride + 1
    ones = np.ones((1, 1, outputs, outputs))
    counts, _, _ = convolve_backward(ones, np.zeros((1, 1, 7, 7)), np.ones((1, 1, k, k)), stride, 0)
    pictures.numbers(ax, counts[0, 0], title=f"kernel {k}, stride {stride}")
plt.show()

# %% [markdown]
# **What went wrong for people who tried it.** All three pictures are famous.
#
# - (a) Corners count once, the middle nine times. Without padding, what is at the border of an image hardly matters.
# - (b) A chequerboard. Generators that grow images by transposed convolution of kernel 3 and stride 2 painted it
#   into their pictures, until [Odena et al. 2016](https://distill.pub/2016/deconv-checkerboard/) explained it. Kernel 4 and stride 2
#   has none, except at the border (try it).
# - (c) Pixels that no window ever sees get gradient 0. With a stride larger than the kernel, TensorFlow's convolution on the CPU
#   [failed a gradient check](https://github.com/tensorflow/tensorflow/issues/11092); the reporter suspects that the windows were shifted
#   going forward but not coming back. And one published solution of a course like this returned a gradient of
#   [the wrong size](https://github.com/PKUFlyingPig/CMU10-714/issues/6) where the stride does not fit the image, as here: the last row belongs
#   to no window, and still has a gradient.
#
# ### Fast
#
# The double loop is slow in Python. The library lays all windows side by side, which costs no copy
# (`sliding_window_view` only pretends), and does the sums in one product of matrices; backward, it loops over the k² places in
# the window instead of the H′W′ windows. `course_lib/scratch/images.py` is worth reading: thirty lines.

# %%
x = rng.normal(size=(16, 8, 16, 16))
layer = Conv2d(8, 16, 3, stride=1, padding=1, rng=rng)
weight, bias = layer.w["weight"], layer.w["bias"]

start = time.perf_counter()
slow_y = convolve(x, weight, bias, 1, 1)
slow = convolve_backward(slow_y, x, weight, 1, 1)
middle = time.perf_counter()
fast_y = layer.forward(x)
fast = layer.backward(fast_y), layer.dz_dw["weight"], layer.dz_dw["bias"]
end = time.perf_counter()
print("equal:", np.allclose(slow_y, fast_y) and all(np.allclose(a, b) for a, b in zip(slow, fast, strict=True)))
print(f"loops {1e3 * (middle - start):.0f} ms, library {1e3 * (end - middle):.0f} ms")

# %% [markdown]
# ## 6 · Max-pooling
#
# **Question.** How can a network forget *where* exactly something was, and keep *that* it was there?
#
# Of each window keep the largest number. As long as the same pixel stays the largest, y is that pixel: slope 1 for the winner, 0
# for all others. The Jacobian has a single 1 in each row, so its transpose sends each dz/dy back to its winner:
#
# $$y_{i,j} = \max_{a,b}\, \bar x_{iq+a,\,jq+b}, \qquad
# \frac{\partial z}{\partial \bar x_{u,v}} = \sum_{\text{windows won by } (u,v)} \frac{\partial z}{\partial y_{i,j}}.$$
#
# The sum matters when windows overlap. **Predict** the gradient of this 4 × 6 image, kernel 3, stride 2, padding 1, when dz/dy = 1
# everywhere. How much does the 88 get?

# %%
image = np.arange(1.0, 25).reshape(4, 6)
image[1, 1] = 88
pool = MaxPool2d(3, stride=2, padding=1)
y = pool.forward(image[None, None])
back = pool.backward(np.ones_like(y))
_, axes = plt.subplots(1, 3, figsize=(10.4, 2.8), width_ratios=[6, 3.4, 6])
pictures.numbers(axes[0], image, title="x")
pictures.numbers(axes[1], y[0, 0], title="y = maxpool(x)")
pictures.numbers(axes[2], back[0, 0], title="dz/dx for dz/dy = 1", cmap="Oranges")
plt.show()

# %% [markdown]
# Four windows, all won by the 88, so 4. This very image is from a bug report: the Julia library Flux
# [gave 1](https://github.com/FluxML/Flux.jl/issues/1197), because its loop wrote `=` where `+=` belongs, and nobody noticed as long
# as windows lay side by side. The bug was found by comparing with another library, and
# [confirmed](https://github.com/FluxML/NNlib.jl/issues/205) by finite differences.
#
# If several pixels share the maximum, there is no derivative, as with ReLU at 0; like torch we choose the first.

# %% [markdown]
# ## 7 · The loss
#
# **Question.** A classifier gives a score to each of K classes. By what single number z is it judged?
#
# Turn scores s into probabilities, p_k = e^{s_k} / Σⱼ e^{s_j} ("softmax"), and take minus the logarithm of what the right class c
# got: z = −log p_c = −s_c + log Σⱼ e^{s_j}. Differentiate the two terms:
#
# $$\frac{\partial z}{\partial s_k} = -[k = c] + \frac{e^{s_k}}{\sum_j e^{s_j}} = p_k - [k = c].$$
#
# What you believed, minus what is true. For a batch z is the mean, so everything is divided by N.


# %%
def cross_entropy(scores, labels):
    shifted = scores - scores.max(axis=1, keepdims=True)  # the same p, and exp cannot overflow
    p = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)  # (N, K)
    n = np.arange(len(labels))
    z = -np.log(p[n, labels]).mean()
    dz_ds = p.copy()
    dz_ds[n, labels] -= 1
    return z, dz_ds / len(labels)


z, dz_ds = cross_entropy(np.array([[2.0, 1.0, -1.0], [0.0, 0.0, 0.0]]), np.array([0, 2]))
print(f"z = {z:.4f} nats\ndz/ds =\n{dz_ds.round(4)}")
print(gradient_check(SoftmaxCrossEntropy(), rng.normal(size=(5, 4)), rng.integers(0, 4, 5)))

# %% [markdown]
# **Before you go on:** what is z for a network that knows nothing and says so, p = 1/10 for each of ten classes? You will see this
# number as a line across the training curve. A freshly drawn network starts *above* it: its random scores are confident nonsense.

# %% [markdown]
# ## 8 · A hundred random shapes
#
# Each layer has passed on one shape of our choice. Bugs live in the shapes that nobody chooses: a stride larger than the kernel,
# a batch of one, an image that the windows do not fill. So: a hundred random shapes for each layer, against torch's autograd
# (forward, dz/dx, and every dz/dw), and some more against our own central differences.

# %%
from course_lib.scratch.compare import RANDOM, difference_from_torch

shape_rng = np.random.default_rng(SEED)
from_torch, from_differences = {}, {}
for name, random_case in RANDOM.items():
    from_torch[name] = max(max(difference_from_torch(random_case(shape_rng)).values()) for _ in range(100))
    checks = []
    for _ in range(budget.pick(smoke=5, laptop=20)):
        case = random_case(shape_rng)
        x = shape_rng.normal(size=case.x.shape)  # no ties and no zeros: there is no derivative there
        checks.append(gradient_check(case.layer, x, *case.more).worst)
    from_differences[name] = max(checks)
    print(f"{name:20} from torch {from_torch[name]:.0e}   from central differences {from_differences[name]:.0e}")

record("largest difference from torch, 100 random shapes each", max(from_torch.values()), at_most=1e-6)
record("largest relative error against central differences", max(from_differences.values()), at_most=1e-6)

# %% [markdown]
# The difference from torch is nearly at rounding, since both compute the same sums in another order. The differences are a little
# coarser: that is the 10⁻¹¹ of section 4.

# %% [markdown]
# ## 9 · A network that reads digits
#
# **Question.** Are these few layers, with our own derivatives, enough to read handwriting?
#
# The digits are real: 1,797 images of 8 × 8, written by 43 people. A fifth is kept for testing.

# %%
(x_train, y_train), (x_test, y_test) = ((x.numpy(), y.numpy()) for x, y in (digits("train"), digits("test")))
print(f"{len(x_train)} to learn from, {len(x_test)} to be tested on, values {x_train.min():g} to {x_train.max():g}")
image_grid(torch.from_numpy(x_train[:40]), columns=20, title="forty of the digits")
plt.show()

# %%
from course_lib.scratch.classify import accuracy, convolutional, moved, train

network = convolutional(rng=np.random.default_rng(SEED))
x = x_train[:1]
print(f"{'input':12} {x.shape[1:]}")
for layer in network.layers:
    x = layer.forward(x)
    count = sum(w.size for w in layer.w.values())
    print(f"{type(layer).__name__:12} {x.shape[1:]!s:14} {f'{count} parameters' if count else ''}")

# %% [markdown]
# Two rounds of *look through windows, keep what is positive, keep the largest*; then one matrix that weighs the evidence. The
# loop that trains it has four lines. Draw a few examples (their mean gradient is a noisy but cheap estimate of the gradient over all;
# unit 02 is about that noise), go forward, go backward, step:
#
# ```python
# for step in range(steps):
#     chosen = ...                                                    # 16 indices, each image once per epoch
#     z = loss.forward(network.forward(images[chosen]), labels[chosen])
#     network.backward(loss.backward())
#     network.update(learning_rate * (1 - step / steps))              # smaller and smaller steps
# ```
#
# **Predict.** Write down the test accuracy you expect of: (1) this network; (2) the same network in which only the last matrix learns and
# the convolutions stay random; (3) a single matrix on the 64 pixels; (4) network 1, where the gradients of the convolutions have
# the wrong sign.

# %%
steps = budget.steps(1500, smoke=1200, gpu=3000, paper=6000)


def only_last_layer(network):
    for layer in network.layers[:-1]:
        layer.dz_dw = {}


def wrong_sign(network):
    for layer in network.layers[:-1]:
        layer.dz_dw = {name: -gradient for name, gradient in layer.dz_dw.items()}


def fresh(seed=SEED):
    return convolutional(rng=np.random.default_rng(seed))


def one_matrix(size=8, seed=SEED):
    return Sequential(Flatten(), scratch.Linear(size * size, 10, rng=np.random.default_rng(seed), dtype=np.float32))


losses = train(network, x_train, y_train, steps=steps, seed=SEED)
results = {"1 our network": accuracy(network, x_test, y_test)}

lazy = fresh()
train(lazy, x_train, y_train, steps=steps, seed=SEED, each_step=only_last_layer)
results["2 random convolutions, last matrix learns"] = accuracy(lazy, x_test, y_test)

flat = one_matrix()
train(flat, x_train, y_train, steps=steps, seed=SEED)
results["3 one matrix"] = accuracy(flat, x_test, y_test)

uphill = fresh()
with np.errstate(all="ignore"):  # it climbs until it overflows
    train(uphill, x_train, y_train, steps=150, seed=SEED, each_step=wrong_sign)
    results["4 wrong sign in the convolutions"] = accuracy(uphill, x_test, y_test)

smooth = np.convolve(losses, np.ones(25) / 25, mode="valid")
_, ax = plt.subplots(figsize=(6.4, 3.2))
ax.plot(losses, color="#cccccc", linewidth=0.7, label="one batch of 16")
ax.plot(np.arange(len(smooth)) + 12, smooth, label="mean of 25 batches")
ax.axhline(np.log(10), color=COLOURS[1], linestyle="--", linewidth=1.2, label="log 10: knows nothing")
ax.set(xlabel="step", ylabel="cross-entropy, nats per image", title="our network learns", ylim=(0, 3.2))
ax.legend()
plt.show()

# %%
pictures.bars(results, xlabel="test accuracy", title="360 images that no network has seen", bound=0.95)
plt.show()
record("test accuracy of our network on digits", results["1 our network"], at_least=0.95)
gain = results["1 our network"] - results["2 random convolutions, last matrix learns"]
record("gain from letting the convolutions learn", gain, at_least=0.03)

# %% [markdown]
# The convolutions must learn: random ones are worse than none. But are you surprised by (3)? A single matrix is almost as good, and a
# hundred times quicker. Honest comparisons with something simple belong to every result in this course.
#
# Why is it so good? Because these digits are centred and fill their frame: pixel 27 *means* something. So take that away.
#
# **Predict.** We put each digit at a random place of a 12 × 12 frame, for training and for testing. What becomes of one matrix, of two
# matrices with a ReLU between them, and of convolutions?

# %%
move_rng = np.random.default_rng(SEED)
moved_train, moved_test = moved(x_train, rng=move_rng), moved(x_test, rng=move_rng)
image_grid(torch.from_numpy(moved_test[:20]), columns=20, title="moved digits", scale=0.6)
plt.show()


def two_matrices(size, hidden=32, seed=SEED):
    local = np.random.default_rng(seed)
    return Sequential(
        Flatten(),
        scratch.Linear(size * size, hidden, rng=local, dtype=np.float32),
        scratch.ReLU(),
        scratch.Linear(hidden, 10, rng=local, dtype=np.float32),
    )


contestants = {
    "convolutions": convolutional(rng=np.random.default_rng(SEED), size=12),
    "two matrices and a ReLU": two_matrices(12),
    "one matrix": one_matrix(12),
}
moved_results = {}
for name, contestant in contestants.items():
    train(contestant, moved_train, y_train, steps=budget.steps(1500, smoke=900), learning_rate=0.1, seed=SEED)
    size = sum(w.size for w in contestant.w.values())
    moved_results[f"{name}, {size} parameters"] = accuracy(contestant, moved_test, y_test)
pictures.bars(moved_results, xlabel="test accuracy", title="digits that moved")
plt.show()
of_convolutions, _, of_one_matrix = moved_results.values()
record("moved digits: convolutions − one matrix", of_convolutions - of_one_matrix, at_least=0.30)

# %% [markdown]
# <details><summary>Why</summary>
#
# A convolution that has learned an edge at one place knows it at all places. A matrix must learn it at each place anew, from the
# few digits that happened to lie there. Fewer parameters, used more often: the prior knowledge "an image may move" is
# built into the layer.
# </details>
#
# ### What did it learn?

# %%
example = x_test[:1]
first_maps = scratch.ReLU().forward(network.layers[0].forward(example))[0]
network.forward(example)
loss = SoftmaxCrossEntropy()
loss.forward(network.forward(example), y_test[:1])
toward_input = -network.backward(loss.backward())[0, 0]

_, axes = plt.subplots(1, 4, figsize=(12.2, 3.0), width_ratios=[1.7, 0.85, 1.7, 0.95])
pictures.maps(network.layers[0].w["weight"][:, 0], title="the 8 kernels of layer 1", ax=axes[0], columns=4)
axes[1].imshow(example[0, 0], cmap="gray", vmin=-1, vmax=1)
axes[1].set_title(f"a {y_test[0]}")
axes[1].set_axis_off()
pictures.maps(first_maps, title="what they see in it, after ReLU", ax=axes[2], columns=4)
pictures.maps(toward_input[None], title="−dz/dx⁰", ax=axes[3], columns=1)
plt.show()

# %% [markdown]
# Several kernels have become detectors of edges, each of another direction; nobody told them to. The last picture is the gradient with respect to the
# *image*, the one result of backpropagation that training throws away: how each pixel should change for the loss to fall. Unit 03
# will follow it, and turn images into others.
#
# And here is what it gets wrong. Would you have known?

# %%
guess = network.forward(x_test).argmax(axis=1)
wrong = np.flatnonzero(guess != y_test)[:12]
_, axes = plt.subplots(1, max(2, len(wrong)), figsize=(1.05 * max(2, len(wrong)), 1.7))
for ax in axes:
    ax.set_axis_off()
for ax, k in zip(axes, wrong, strict=False):
    ax.imshow(x_test[k, 0], cmap="gray", vmin=-1, vmax=1)
    ax.set_title(f"is {y_test[k]}\nread {guess[k]}", fontsize=9)
plt.show()

# %% [markdown]
# ## 10 · Your own layer, and layers that are wrong
#
# Nothing in the contract says which functions are allowed. Let us add one that the library does not have: **softsign**,
# y = x / (1 + |x|), a cousin of tanh that approaches ±1 slowly
# ([Glorot and Bengio 2010](https://proceedings.mlr.press/v9/glorot10a.html) compare the two in deep networks). For x > 0 the quotient
# rule gives
#
# $$y' = \frac{(1 + x) - x}{(1 + x)^2} = \frac{1}{(1 + |x|)^2},$$
#
# and for x < 0 the same, since y is odd and the slope of an odd function is even.


# %%
class Softsign(scratch.Layer):
    """y = x / (1 + |x|), elementwise; dz/dx = dz/dy / (1 + |x|)²."""

    def forward(self, x):
        self.below = 1 + np.abs(x)
        return x / self.below

    def backward(self, dz_dy):
        return dz_dy / self.below**2


class HastySoftsign(Softsign):
    """A wrong backward: the denominator taken for a constant."""

    def backward(self, dz_dy):
        return dz_dy / self.below


print("Softsign\n" + str(gradient_check(Softsign(), rng.normal(size=(4, 5)))))
print("HastySoftsign\n" + str(gradient_check(HastySoftsign(), rng.normal(size=(4, 5)))))

# %% [markdown]
# ### Can you not simply see it in the loss?
#
# **Predict.** We train the digit network with two wrong backward passes: in one the loss forgets the label (its gradient is p instead of
# p − onehot); in the other the second convolution turns its kernel the wrong way on the way back, so that everything the first
# convolution hears is scrambled. Which of the two would you notice from the accuracy?

# %%
from course_lib.scratch.planted import BUGS, ConvNotFlipped, LossForgetsLabel

unlabelled, turned = fresh(), fresh()
turned.layers[3].__class__ = ConvNotFlipped  # the same weights, another backward
train(turned, x_train, y_train, steps=steps, seed=SEED)
with np.errstate(all="ignore"):  # every score sinks until it overflows
    train(unlabelled, x_train, y_train, steps=150, seed=SEED, loss=LossForgetsLabel())
    noticed = {
        "right": results["1 our network"],
        "the loss forgets the label": accuracy(unlabelled, x_test, y_test),
        "the second kernel is turned the wrong way": accuracy(turned, x_test, y_test),
    }
pictures.bars(noticed, xlabel="test accuracy", title="networks with a wrong backward pass")
plt.show()

# %% [markdown]
# Only the first. The other one learns, and nobody would look for a bug in it: the layers after the bug get right gradients and make
# the best of what the first one happens to send. "The loss goes down" proves nothing about your derivatives.
#
# ### Eighteen bugs
#
# `course_lib/scratch/planted.py` holds eighteen layers whose backward is wrong in ways that people really got wrong. We check each one
# twice: carefully, and as one does in a hurry: one example, windows that never meet, no padding, dz/dy = 1, and a single batch.
#
# **Predict.** How many of the eighteen get past the hurried check?


# %%
def hurried_check(layer, x, *more):
    """The worst relative error, for dz/dy = 1 and a layer that has seen no other batch."""
    y = layer.forward(x.copy(), *more)
    ours = {"x": layer.backward(np.ones(np.shape(y))), **layer.dz_dw}
    theirs = {
        name: scratch.numerical_gradient(lambda: np.sum(layer.forward(x.copy(), *more)), array)
        for name, array in {"x": x, **layer.w}.items()
    }
    return max(scratch.relative_error(ours[name], theirs[name]) for name in theirs)


table = {}
for bug in BUGS:
    layer, arguments = bug.layer_and_input(np.random.default_rng(SEED))
    careful = gradient_check(layer, *arguments).worst
    layer, arguments = bug.layer_and_input(np.random.default_rng(SEED), easy=True)
    table[bug.name] = (careful, hurried_check(layer, *arguments))
pictures.errors_table(table, ("careful", "hurried"), tolerance=1e-6, title="relative error (orange: caught)")
plt.show()
caught = [sum(errors[k] > 1e-6 for errors in table.values()) for k in (0, 1)]
print(f"caught: {caught[0]} of {len(BUGS)} by the careful check, {caught[1]} by the hurried one")
record("planted bugs caught by the gradient check", caught[0], at_least=18)

# %% [markdown]
# Look at which ones slip through, and why. Mean and sum are equal for a batch of one. Turning a kernel of 1 × 1 changes nothing; `=` and
# `+=` agree where windows do not meet; permuting a vector of equal numbers leaves it as it was. A test on an example that is too easy
# tests nothing. Use **random numbers, sizes that are all different, more than one example, and windows that overlap**.
#
# ### What a gradient check cannot see
#
# It compares backward with forward. If *forward* computes the wrong thing and backward is its derivative, all is well as far
# as it knows: a Tanh that computes sin, a convolution that mixes up rows and columns, a wrong sign in `update`. Those need other
# tests: known values, another library (section 8), and a measured outcome with a bound (section 9). This notebook has all three.

# %% [markdown]
# ## 11 · Back to the lock: what ImageNet changed
#
# Convolution, pooling and backpropagation were all known in 1998. Why did Asirra stand until 2014?
#
# They need many examples, and many multiplications. *ImageNet* collected 14,197,122 images in 21,841 classes; its yearly contest used 1000 classes of
# about 1000 images each. In 2012 a network of five convolutional layers, with ReLUs, trained on graphics cards, had the right
# class among its first five guesses for all but 15.3 % of the test images; the next best entry for all but 26.2 %
# ([Krizhevsky, Sutskever, Hinton 2012](https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks.pdf)).
# In 2014 the winner of ImageNet's localization task [won the contest of cats and dogs](http://www.kdnuggets.com/2014/02/deep-learning-wins-dogs-vs-cats-competition.html)
# at 0.989, with his library of convolutional layers.
#
# We can see the effect of data in small. **Predict.** We train on about 5, 25, and all 144 examples of each digit, with the same number of steps. A
# code of 12 digits is read if all twelve are. How does the chance of that grow?

# %%
sizes = (50, 250, len(x_train))
data_results = {}
for count in sizes:
    if count == len(x_train):
        learner = network  # of section 9
    else:
        learner = fresh()
        train(learner, x_train[:count], y_train[:count], steps=steps, seed=SEED)
    data_results[count] = accuracy(learner, x_test, y_test)
each = np.array(list(data_results.values()))
_, ax = plt.subplots(figsize=(6.4, 3.4))
ax.semilogx(sizes, each, "o-", label="one digit, p")
ax.semilogx(sizes, each**12, "s-", color=COLOURS[1], label="twelve in a row, p¹²")
for count, value in zip(sizes, each, strict=True):
    ax.annotate(f"{value:.2f}", (count, value), (0, 7), textcoords="offset points", ha="center", fontsize=9)
    ax.annotate(f"{value**12:.2f}", (count, value**12), (0, 7), textcoords="offset points", ha="center", fontsize=9)
ax.set_xticks(sizes, [str(count) for count in sizes])
ax.minorticks_off()
ax.set(ylim=(0, 1.12), xlabel="images to learn from", ylabel="probability", title="what more data buys")
ax.legend(loc="center left")
plt.show()
record("twelve digits in a row, all data − 50 images", each[-1] ** 12 - each[0] ** 12, at_least=0.4)

# %% [markdown]
# One digit improves by a little, the whole task from hopeless to likely. From outside, a steady improvement of p looks like a sudden
# breakthrough. Remember it when a generative model seems to have appeared overnight.

# %% [markdown]
# ## 12 · Exercises
#
# They lead to the problem set **ps01_backprop**, which is graded.
#
# 1. *(5 min)* Derive dz/dx of the softmax alone, y = softmax(x), as a formula without a matrix. Check it with `gradient_check`.
# 2. *(10 min)* Average pooling: which line of `MaxPool2d.backward` changes? Predict the chequerboard of kernel 3, stride 2.
# 3. *(10 min)* One `Linear` at two places of a network. Why does our contract give wrong gradients for it, and what would you change?
# 4. *(15 min)* Write `Normalize`: subtract from each row its mean and divide by its standard deviation. Every output depends on every
#    input of its row, so the Jacobian is not diagonal. Derive before you code.
# 5. *(15 min)* Convolution with *dilation* d: the window takes every d-th pixel. Change one index in the formula, then the two lines of
#    code that follow from it.
# 6. *(20 min)* Find a bug in `planted.py` that survives if you leave out only one of: random dz/dy, two examples, overlapping windows, a
#    second batch. Is each of the four needed?
#
# ## 13 · Reading
#
# - D. Rumelhart, G. Hinton, R. Williams, [Learning representations by back-propagating errors](https://www.nature.com/articles/323533a0),
#   1986: four pages that made the algorithm known; the notation is nearly ours.
# - Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, *Gradient-based learning applied to document recognition*, 1998: convolutional networks
#   that read cheques; sections I and II are today's lecture.
# - A. Karpathy, [micrograd](https://github.com/karpathy/micrograd): the same idea, one number at a time, in a hundred lines; shows how
#   `autograd` finds the order by itself.
# - V. Dumoulin, F. Visin, [A guide to convolution arithmetic for deep learning](https://arxiv.org/abs/1603.07285), 2016: every
#   combination of padding and stride, drawn.
# - K. He, X. Zhang, S. Ren, J. Sun, [Delving deep into rectifiers](https://arxiv.org/abs/1502.01852), 2015: section 2.2 derives the 2/n
#   of our `Linear`.
# - A. Krizhevsky, I. Sutskever, G. Hinton, *ImageNet classification with deep convolutional neural networks*, 2012: what
#   you built, larger.
