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
# # 03 · Looking inside and fooling nets
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-organisation/networks-that-generate/blob/main/notebooks/03_inversion.ipynb)
#
# Training moves the weights and leaves the images alone. Today we do the opposite: the net is finished, and the gradient moves the
# *pixels*. Moved towards the features of another image, they show what a layer remembers. Moved towards a wrong answer, they
# show how little a net needs to be misled.
#
# **You will be able to**
#
# - find an image from what a layer says about it, and tell what the layer determines from what the prior filled in;
# - choose a prior: derive what total variation with the power β does to edges and to points;
# - fool a classifier with the smallest change, by L-BFGS-B in a box, and quickly, by FGSM and PGD;
# - compare an attack with its proper control, random noise of the same length, and say why that one fails;
# - bound from both sides how far a small change of the input can move a layer.
#
# **Time** about 90 minutes of reading and playing. Computing, on one core: under a minute at the budget `smoke`, about four minutes at `laptop`; a GPU is not
# needed.
#
# **You need** the chain rule for layers (lecture 01), descent and Adam (lecture 02), convolutional classifiers in PyTorch.

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

import itertools
from collections import OrderedDict
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits
from torch import nn
from torch.nn.functional import avg_pool2d, cross_entropy, interpolate, pad

from course_lib.data import Batches, digits
from course_lib.draw import COLOURS, image_grid, labelled_grid
from course_lib.explore import choice, explore, slider
from course_lib.loop import descend, fit
from course_lib.outcomes import record

device, budget = course_lib.start(BUDGET, SEED)
threadpool_limits(limits=1, user_api="blas")  # SciPy's threads and torch's would get into each other's way


def generator(offset=0):
    """A fresh source of random numbers that depends on SEED alone."""
    return torch.Generator().manual_seed(1000 * SEED + offset)


# %% [markdown]
# ## 1 · A net to look into
#
# **Question.** Lecture 01 ended with a picture that training throws away: −dz/dx⁰, how each pixel should change for the loss to fall. What
# happens if we do change the pixels?
#
# We need a finished net. It reads the handwritten digits of lecture 01, enlarged from 8 × 8 to 16 × 16 by smooth interpolation. Nothing is
# known about them that was not known before, but there is now room for patterns that no digit has.


# %%
def enlarged(images):
    """Digits (N, 1, 8, 8) as smooth images (N, 1, 16, 16), in [-1, 1]."""
    return interpolate(images, size=(16, 16), mode="bicubic", align_corners=False).clamp(-1, 1)


def convolutional(width=8):
    """x (N, 1, 16, 16) -> ten scores (N, 10). Every layer has a name."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, width, 3, padding=1),
            relu1=nn.ReLU(),  # (N, 8, 16, 16)
            conv2=nn.Conv2d(width, 2 * width, 3, padding=1),
            relu2=nn.ReLU(),  # (N, 16, 16, 16)
            pool2=nn.MaxPool2d(2),  # (N, 16, 8, 8)
            conv3=nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            relu3=nn.ReLU(),  # (N, 16, 8, 8)
            pool3=nn.MaxPool2d(2),  # (N, 16, 4, 4)
            flat=nn.Flatten(),
            hidden=nn.Linear(32 * width, 64),
            relu4=nn.ReLU(),  # (N, 64)
            scores=nn.Linear(64, 10),
        )
    )


def trained(net, images, labels, steps, seed):
    """Adam with a falling rate; returns the net, from here on at rest: evaluation mode, weights fixed."""
    optimizer = torch.optim.Adam(net.parameters(), lr=8e-3)
    for step, (x, y) in zip(range(steps), Batches(images, labels, size=32, device=device, seed=seed), strict=False):
        optimizer.param_groups[0]["lr"] = 8e-3 * (1 - step / steps)
        descend(optimizer, cross_entropy(net(x), y))
    return net.eval().requires_grad_(False)


def read(net, images):
    """What the net says, (N,)."""
    with torch.no_grad():
        return net(images).argmax(1)


(x_train, y_train), (x_test, y_test) = (
    (enlarged(x).to(device), y.to(device)) for x, y in map(digits, ("train", "test"))
)
training_steps = budget.steps(600, smoke=200)
torch.manual_seed(SEED)
net = trained(convolutional().to(device), x_train, y_train, training_steps, SEED)
right = read(net, x_test) == y_test
ten = torch.cat([x_test[right & (y_test == k)][:1] for k in range(10)])  # one of each, read as it should be
image_grid(ten, columns=10, title="ten test images", scale=0.8)
plt.show()
record("test accuracy of the net we look into", right.double().mean(), at_least=0.94)

# %% [markdown]
# ## 2 · What a layer says
#
# **Question.** The net turns 256 pixels into ten scores. Where on the way is the image lost?
#
# Write Φ(x) for what some layer puts out when the net is given x. For a chain of layers that takes four lines:


# %%
def phi(net, layer, x):
    """What the layer of that name puts out."""
    for name, part in net.named_children():
        x = part(x)
        if name == layer:
            return x


print(f"{'layer':8} {'shape':>14} {'numbers':>8}   zeros, for our ten digits")
for name, _ in net.named_children():
    features = phi(net, name, ten)
    print(f"{name:8} {tuple(features.shape[1:])!s:>14} {features[0].numel():8}   {(features == 0).double().mean():.0%}")

# %% [markdown]
# In a net that is not a chain a *hook* listens at the layer; the library's `LayerOutput(net, name)` does that for any module.

# %%
from course_lib.nets.features import LayerOutput

print("the same:", all(torch.equal(phi(net, k, ten), LayerOutput(net, k)(ten)) for k, _ in net.named_children()))

_, axes = plt.subplots(1, 4, figsize=(12.4, 3.1), width_ratios=[1, 2, 2, 2])
image_grid(ten[3:4], ax=axes[0], title="x*")
for ax, name in zip(axes[1:], ("relu1", "relu2", "pool3"), strict=True):
    maps = phi(net, name, ten[3:4])[0]  # (C, H, W)
    image_grid(
        2 * maps / maps.amax((1, 2), keepdim=True).clamp(min=1e-9) - 1,
        ax=ax,
        title=f"{name}: {len(maps)} maps",
        columns=4,
    )
plt.show()

# %% [markdown]
# **Predict.** relu1 has eight numbers for each pixel, pool3 as many numbers as there are pixels. From which layer on do you expect that an image can no longer be found
# from what the layer says: pool2, pool3, the 64 numbers of relu4, or only from the ten scores?
#
# Counting decides only half of it. Fewer numbers than pixels cannot determine all pixels. But more numbers need not determine them
# either: a ReLU that gives 0 has forgotten by how much its input was negative, a maximum forgets where it was. So we do not
# count; we try.

# %% [markdown]
# ## 3 · Back from the features
#
# **Question.** Only Φ(x\*) is kept, the image x\* is thrown away. Which images x have the same features?
#
# Let us look for one by descent. As a loss, how far the features are from the wanted ones:
#
# $$z(x) = \lVert\Phi(x) - \Phi(x^*)\rVert^2 .$$
#
# Move x by a small δ. Φ moves by J δ, with J = dΦ/dx its Jacobian, so z moves by 2 (Φ(x) − Φ(x\*))ᵀ J δ, and by definition of the gradient
#
# $$\frac{dz}{dx} = 2\,J^{\top}\bigl(\Phi(x) - \Phi(x^*)\bigr).$$
#
# That is lecture 01's rule: the error in the features, sent back through the layers. No new machinery is needed; x takes the place
# of the weights.
#
# **Where does it end?** Take the one case that can be solved on paper, Φ(x) = W x with fewer rows than columns. From a start x₀,
# every step of descent adds a combination of rows of W, dz/dx = 2 Wᵀ W (x − x\*). What is orthogonal to all rows never changes. Let P be the
# projection on the span of the rows (P = W⁺W, with the pseudo-inverse). The part P x converges to P x\*, because only there z
# vanishes; the rest stays as it was:
#
# $$x_\infty = P\,x^* + (I - P)\,x_0 .$$
#
# What the layer knows comes from x\*. **What it does not know comes from the start.**
#
# **Predict.** W is 10 × 256: a classifier that is one matrix. We start from white noise. Which share of the noise, measured as squared
# length, is still in the picture when Φ(x) = Φ(x\*) to six digits? Will you recognise the digit?

# %%
torch.manual_seed(SEED)
one_matrix = trained(nn.Sequential(nn.Flatten(), nn.Linear(256, 10)).to(device), x_train, y_train, training_steps, SEED)
W = one_matrix[1].weight.double().cpu()  # (10, 256)
wanted = ten[3].flatten().double().cpu()
x0 = 0.5 * torch.randn(256, generator=generator(), dtype=torch.float64)
x = x0.clone()
rate = 0.9 / torch.linalg.matrix_norm(W, 2) ** 2  # z's curvature is at most 2‖W‖²
for _ in range(3000):
    x -= rate * W.T @ (W @ (x - wanted))

P = torch.linalg.pinv(W) @ W
on_paper = P @ wanted + (x0 - P @ x0)
known = P @ wanted
pictures = {
    "x*": wanted,
    "start x₀": x0,
    "where descent ends": x,
    "of it, from x*: P x*": known,
    "of it, from x₀": x - known,
}
labelled_grid(torch.stack([*pictures.values()]).view(-1, 1, 16, 16), list(pictures), inches=1.8)
plt.show()
left = (x0 - P @ x0).square().sum() / x0.square().sum()
print(
    f"‖Φ(x) − Φ(x*)‖ / ‖Φ(x*)‖ = {(W @ (x - wanted)).norm() / (W @ wanted).norm():.0e}; {left:.1%} of the noise is left"
)
record("pre-image of one matrix: descent against W⁺W x* + (I − W⁺W) x₀", (x - on_paper).abs().max(), at_most=1e-4)

# %% [markdown]
# <details><summary>Answer</summary>
#
# White noise has the same share in every direction, so (256 − 10)/256 = 96 % of it remain on average, a little more or less for one draw. The net sees no difference between this
# picture and the digit. You see no digit, and not because descent failed: it ended exactly where the formula says.
# </details>
#
# A net is not linear, but the argument holds step by step: directions that J maps to 0, or nearly so, are never corrected. A pre-image from
# features alone is the truth about the layer and hardly looks like it. To see something we must say what an image *is*.

# %% [markdown]
# ## 4 · What images are like
#
# **Question.** Among all images with the same features, which one do we want to see?
#
# One in which neighbouring pixels are alike. The **total variation** sums how much they differ, with a power β:
#
# $$\mathrm{TV}^\beta(x) = \sum_{i,j}\left((x_{i,j+1} - x_{i,j})^2 + (x_{i+1,j} - x_{i,j})^2\right)^{\beta/2} .$$


# %%
def total_variation(x, beta):
    """TV^β of each image (N, C, H, W), summed over channels and pixels: (N,). Beyond the border nothing differs."""
    across = pad(x[..., :, 1:] - x[..., :, :-1], (0, 1))
    down = pad(x[..., 1:, :] - x[..., :-1, :], (0, 0, 0, 1))
    return (across**2 + down**2 + 1e-12).pow(beta / 2).sum((1, 2, 3))  # 1e-12: no infinite slope where x is flat


def noisy(x, amount, offset=1):
    return x + amount * torch.randn(x.shape, generator=generator(offset)).to(x)


shuffled = ten[3].flatten()[torch.randperm(256, generator=generator(2)).to(device)].view_as(ten[3:4])
examples = torch.cat([torch.zeros_like(ten[:1]), ten[3:4], noisy(ten[3:4], 0.3), shuffled, noisy(0 * ten[:1], 0.5)])
names = ("grey", "a digit", "the same + noise", "its pixels, shuffled", "noise")
costs = [(total_variation(examples, beta) / 256).tolist() for beta in (1, 2)]
titles = [f"{name}\nβ = 1: {one:.2f}, β = 2: {two:.2f}" for name, one, two in zip(names, *costs, strict=True)]
labelled_grid(examples, titles, inches=1.8)
plt.show()

# %% [markdown]
# (Numbers are for each pixel.) A digit and its shuffled pixels have the same grey levels; only TV tells them apart. Now the power.
#
# **An edge.** Let the grey level rise by h, along straight contours, over n pixels: n differences of h/n. For each pixel of the edge's length it costs
#
# $$n\left(\frac hn\right)^{\beta} = h^\beta\, n^{1-\beta}.$$
#
# With β = 1 the width does not matter; with β > 1 a wide, blurred edge is cheaper; with β < 1 a sharp one.
#
# **A point.** Let one pixel be fixed at h above its surroundings, and let the level fall to 0 around it like a cone of radius R.
# Its slope is h/R on an area πR², so it costs
#
# $$\pi R^2\left(\frac hR\right)^{\beta} = \pi\, h^\beta\, R^{2-\beta} .$$
#
# With β < 2 a *narrow* cone is cheaper. Where a layer asks for a value at isolated pixels only (after strides and maxima it does), such a prior
# answers with spikes. At β = 2 the width no longer matters. So there is a conflict: β = 1 is kind to edges, β = 2 prevents spikes.
#
# **Predict.** We fix five pixels of an image at 1, its border at −1, and let TV^β choose all others. Draw the result for β = 1, 1.5, 2, 3.


# %%
def filled_in(beta, steps=200, size=24):
    """The image that TV^β makes from five fixed points and a fixed border: (size, size)."""
    points, fixed = torch.full((1, 1, size, size), -1.0), torch.zeros(1, 1, size, size, dtype=torch.bool)
    fixed[..., 0, :] = fixed[..., -1, :] = fixed[..., :, 0] = fixed[..., :, -1] = True
    for i, j in ((6, 6), (6, 17), (12, 12), (17, 6), (17, 17)):
        points[..., i, j], fixed[..., i, j] = 1.0, True
    x = torch.rand(points.shape, generator=generator(3)) * 2 - 1
    x.requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / steps)
        descend(optimizer, total_variation(torch.where(fixed, points, x), beta).sum())
    return torch.where(fixed, points, x).detach()[0, 0]


n = np.arange(1, 11)
_, axes = plt.subplots(1, 6, figsize=(13.6, 2.6), width_ratios=[1.5, 1.5, 1, 1, 1, 1])
for beta, colour in zip((1, 1.5, 2, 3), COLOURS, strict=False):
    axes[0].plot(n, n ** (1.0 - beta), color=colour, label=f"β = {beta:g}")
    axes[1].plot(n, np.pi * n ** (2.0 - beta), color=colour)
axes[0].set(xlabel="width n, pixels", ylabel="cost, h = 1", title="an edge", ylim=(0, 1.6))
axes[1].set(xlabel="radius R, pixels", title="a point", ylim=(0, 20))
axes[0].legend(fontsize=8, ncol=2, loc="upper right")
raised = {}
for ax, beta in zip(axes[2:], (1, 1.5, 2, 3), strict=True):
    image = filled_in(beta)
    raised[beta] = int((image > -0.5).sum())
    image_grid(image[None], ax=ax, title=f"β = {beta:g}")
plt.show()
print("pixels above −0.5:", ", ".join(f"β = {beta:g}: {count}" for beta, count in raised.items()))
record("pixels raised by five points, β = 3 / β = 1", raised[3] / raised[1], at_least=5)


# %%
def draw_filled(beta):
    image = filled_in(beta)
    _, axes = plt.subplots(1, 2, figsize=(7.6, 2.8), width_ratios=[1, 1.7])
    image_grid(image[None], ax=axes[0], title=f"β = {beta:.1f}")
    axes[1].plot(image[12], ".-")
    axes[1].set(xlabel="column", ylabel="grey level", title="row 12, through the middle point", ylim=(-1.1, 1.1))


explore(draw_filled, beta=slider(0.8, 4.0, 2.0, step=0.2, label="β"))

# %% [markdown]
# <details><summary>Answer</summary>
#
# β = 1 leaves five single pixels, β = 2 gives five tents, and with β = 3 they are wide. Even at β = 2 a cone is not the best shape:
# the minimum solves Laplace's equation, and falls steeply near the point.
# </details>
#
# [Mahendran and Vedaldi 2015](https://arxiv.org/abs/1412.0035), whose method the next section is, leave β open for this reason. We take β = 2 unless
# we say otherwise: behind a maximum, spikes would be worse than soft edges.

# %% [markdown]
# ## 5 · The strip
#
# **Question.** What does each layer remember of a digit?
#
# Features and prior together. Different layers have features of very different size, so the first term is divided by ‖Φ(x\*)‖²; then a value of 1
# means as far away as if all features were 0. TV is taken for each of the M pixels:
#
# $$\hat x = \arg\min_x\; \frac{\lVert\Phi(x) - \Phi(x^*)\rVert^2}{\lVert\Phi(x^*)\rVert^2} + \lambda\,\frac{\mathrm{TV}^\beta(x)}{M},
# \qquad x \in [-1, 1]^M .$$


# %%
def distance(net, layer, x, target):
    """How far Φ(x) is from the features `target` that are wanted, squared, as a share of their own size: (N,)."""
    return (phi(net, layer, x) - target).flatten(1).square().sum(1) / target.flatten(1).square().sum(1)


def invert(net, layer, images, start, steps, weight, beta=2.0):
    """Pre-images of Φ(images), from `start`; weight is λ, one number or one for each image, (N,)."""
    target = phi(net, layer, images)
    x = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.05)
    for _ in range(steps):
        loss = distance(net, layer, x, target) + weight * total_variation(x, beta) / x[0].numel()  # (N,)
        descend(optimizer, loss.sum())  # a sum: every image has its own step
        with torch.no_grad():
            x.clamp_(-1, 1)  # back into the box
    return x.detach()


# %% [markdown]
# The library's version is `course_lib.systems.inversion.PreImage`: the same in the shape of a system, with `step`, any layer of any net, and the
# paper's second prior Σ|x|^α. First, is it the same?

# %%
from course_lib.systems.inversion import PreImage

LAMBDA = 0.05  # λ, from here on
start = noisy(0 * ten, 0.1, offset=4)
theirs = PreImage(net=net, layer="pool2", images=ten, variation=LAMBDA, start=start, device=device)
fit(theirs.step, itertools.repeat(()), 20)
ours = invert(net, "pool2", ten, start, 20, weight=LAMBDA)
print(f"largest difference of a pixel after 20 steps: {(ours - theirs.image).abs().max():.0e}")

# %% [markdown]
# Now all layers. Every digit is inverted twice, from two different starts: where the two results differ, the layer left the choice to the start.
#
# **Predict.** In which layers will the picture look like the digit? In which will the two pictures agree? And what will the net itself say to the
# picture found from its ten scores?

# %%
LAYERS = ("relu1", "relu2", "pool2", "relu3", "pool3", "relu4", "scores")
steps = budget.steps(400, smoke=90, gpu=800, paper=800)
twice = torch.cat([ten, ten])
starts = noisy(0 * twice, 0.5, offset=5)


def pre_images(images, starts, weight, layers=LAYERS):
    """For each layer: the pre-images found, and how far their features are off before and after (each (N,))."""
    found = {}
    for layer in layers:
        x = invert(net, layer, images, starts, steps, weight)
        target = phi(net, layer, images)
        found[layer] = x, distance(net, layer, starts, target), distance(net, layer, x, target)
    return found


def apart(a, b):
    """Root mean square difference of two batches of images, grey levels in [-1, 1]."""
    return float((a - b).square().mean().sqrt())


with_tv = pre_images(twice, starts, weight=LAMBDA)

rows = [(k, k + start) for k in (3, 5, 8) for start in (0, 10)]  # a digit, and which of the twenty images is shown
pictures = [picture for k, i in rows for picture in (ten[k], *(with_tv[layer][0][i] for layer in LAYERS))]
labelled_grid(
    torch.stack(pictures),
    ["x*", *LAYERS],
    ["one start", "another"] * 3,
    title="images with the features of x*, according to each layer",
)
plt.show()

# %%
rows = {}
for layer in LAYERS:
    image, before, after = with_tv[layer]
    rows[layer] = [
        float(before.mean() / after.mean()),
        apart(image, twice),
        apart(image[:10], image[10:]),
        float((read(net, image) == read(net, twice)).double().mean()),
    ]
print(f"{'layer':8} {'distance falls':>15} {'from x*':>9} {'two starts':>11} {'same answer':>12}")
for layer, (fall, error, spread, same) in rows.items():
    print(f"{layer:8} {fall:>13,.0f} × {error:9.2f} {spread:11.2f} {same:12.0%}")

_, ax = plt.subplots(figsize=(6.4, 3.2))
ax.plot(LAYERS, [rows[k][1] for k in LAYERS], "o-", label="pre-image − x*")
ax.plot(LAYERS, [rows[k][2] for k in LAYERS], "s-", label="one start − the other")
ax.set(ylabel="root mean square, grey levels", title="features agree at every layer; images do not", ylim=(0, None))
ax.legend()
plt.show()
record("feature distance falls by, at the layer where it falls least", min(r[0] for r in rows.values()), at_least=10)
record("pre-image − x*, scores / relu1", rows["scores"][1] / rows["relu1"][1], at_least=5)
record("two starts apart, scores − relu1, grey levels", rows["scores"][2] - rows["relu1"][2], at_least=0.1)

# %% [markdown]
# The table keeps two questions apart. *Are the features met?* That is the first column. *Does that settle the image?* That is the other two: how far
# the picture is from x\*, and how far two starts end from each other. A layer can be satisfied completely and still leave the image open; then
# the pixels come from the prior and the start. The last column asks the net itself.
#
# **What went wrong.** It is tempting to say "this is what the layer sees". The picture shows one image out of a whole set, chosen by the
# prior and the start. What *agrees* between the starts is what the layer knows. And once in a while a descent gets stuck with its features still wrong (a ReLU that gives 0 passes no
# slope back, so a wrong 0 may stay); then the first column says so, and the picture says nothing about the layer.

# %% [markdown]
# ## 6 · Without the prior, and with too much of it
#
# **Question.** How much of the strip was the prior?
#
# **Predict.** We repeat it with λ = 0. The features will agree even better. At which layers will the pictures turn into noise? (Section 3.)

# %%
without_tv = pre_images(ten, starts[:10], weight=0.0)

pictures = [picture for f in (with_tv, without_tv) for picture in (ten[3], *(f[layer][0][3] for layer in LAYERS))]
labelled_grid(torch.stack(pictures), ["x*", *LAYERS], [f"λ = {LAMBDA:g}", "λ = 0"], inches=1.3)
plt.show()


def roughness(images):
    """TV² for each pixel, mean over the images."""
    return float(total_variation(images, 2).mean()) / images[0].numel()


_, ax = plt.subplots(figsize=(6.8, 3.2))
ax.plot(LAYERS, [roughness(without_tv[k][0]) for k in LAYERS], "o-", color=COLOURS[1], label="λ = 0")
ax.plot(LAYERS, [roughness(with_tv[k][0][:10]) for k in LAYERS], "o-", label=f"λ = {LAMBDA:g}")
ax.axhline(roughness(ten), color="black", linestyle="--", linewidth=1.2, label="the digits themselves")
ax.set(ylabel="TV² for each pixel", title="without the prior, the image is noise", ylim=(0, None))
ax.legend()
plt.show()
deep = ("relu4", "scores")  # fewer numbers than pixels
ratio = [roughness(without_tv[k][0]) / roughness(with_tv[k][0][:10]) for k in deep]
record("TV² without the prior / with it, the less of relu4, scores", min(ratio), at_least=2.5)
record(
    "TV² with the prior / of the digits, most of all layers",
    max(roughness(f[0]) for f in with_tv.values()) / roughness(ten),
    at_most=1.5,
)

# %% [markdown]
# Section 3 says how to read the figure. Where a layer determines every pixel, λ = 0 costs nothing: there is no freedom left for noise. Where it does
# not, the start stays in the picture, and it is the prior that removes it. So the gap between the two curves is a measure of what the layer leaves open.
#
# Now both knobs. Each picture below is found from the *same* features, those of pool3, and the same start.

# %%
weights = torch.tensor([0.0, 0.003, 0.03, 0.3, 3.0], device=device)  # λ
betas = (1.0, 1.5, 2.0, 3.0)
same = ten[5:6].expand(len(weights), -1, -1, -1)
pictures, off = [], []
for beta in betas:
    images = invert(net, "pool3", same, starts[5:6].expand_as(same), steps, weights, beta)
    pictures.append(images)
    off += distance(net, "pool3", images, phi(net, "pool3", same)).tolist()
labelled_grid(
    torch.cat(pictures),
    [f"λ = {weight:g}" for weight in weights.tolist()],
    [f"β = {beta:g}" for beta in betas],
    captions=[f"off by {share:.1%}" for share in off],
    inches=1.5,
)
plt.show()

# %% [markdown]
# From left to right the prior takes over; the features are farther and farther off, and in the last column there is little left of the digit.
# From top to bottom edges become softer. There is no right λ: it says how much we trust the prior against the features, and the number above each picture
# is what it cost.


# %%
def draw_inverse(digit, layer, exponent, beta):
    """One inversion, from the layer and with the prior of your choice."""
    wanted = ten[digit : digit + 1]
    image = invert(net, layer, wanted, starts[:1], 60, 0 if exponent < -4 else 10.0**exponent, beta)
    share = float(distance(net, layer, image, phi(net, layer, wanted)))
    with torch.no_grad():
        p = net(image).softmax(1)[0]
    found = f"{layer}: features off by {share:.1%}\nread as {int(p.argmax())}, p = {float(p.max()):.2f}"
    labelled_grid(torch.cat([wanted, image]), ["x*", found], inches=2.4)


explore(
    draw_inverse,
    digit=slider(0, 9, 8),
    layer=choice("relu1", "pool2", "pool3", "relu4", "scores", start="pool3"),
    exponent=slider(-4.5, 1.0, -1.5, step=0.5, label="log₁₀ λ (left end: λ = 0)"),
    beta=slider(1.0, 3.0, 2.0, step=0.5, label="β"),
)

# %% [markdown]
# **Play.** From `scores`, find a λ at which the picture is smooth, the net reads it as the digit with p > 0.9, and *you* do not. You have made an
# illusion; from section 8 on we make them on purpose.

# %% [markdown]
# ## 7 · The strip of a large net
#
# **Question.** Does it work for a photograph and a net of today's kind?
#
# The paper inverts AlexNet, trained on ImageNet's 1000 classes. We take [SqueezeNet](https://arxiv.org/abs/1602.07360), which was made to reach AlexNet's accuracy with
# fifty times fewer weights, a file of 5 MB. They are downloaded once, by torchvision, at every budget but `smoke`. Without a network the same net is used *untrained*, and the
# figure says so.

# %%
from pathlib import Path

from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1
from torchvision.transforms.v2 import Normalize

from course_lib.data.hub import data_root, fetched_weights
from course_lib.data.textures import photographs
from course_lib.errors import CourseError


def squeezenet(download):
    """SqueezeNet for images in [-1, 1], and in words which weights it has."""
    url, folder = SqueezeNet1_1_Weights.IMAGENET1K_V1.url, data_root() / "weights"
    torch.manual_seed(SEED)
    large, weights = squeezenet1_1(), "untrained, random weights"
    if download or (folder / Path(url).name).exists():
        try:
            instead = "it untrained, as is done now"
            large.load_state_dict(fetched_weights("SqueezeNet's weights (5 MB)", url, instead=instead))
            weights = "trained on ImageNet (IMAGENET1K_V1)"
        except CourseError as problem:
            print(problem)
    # torchvision's nets expect (p - mean)/std for p in [0, 1]; with p = (x + 1)/2 that is (x - (2 mean - 1))/(2 std)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    scale = Normalize([2 * m - 1 for m in mean], [2 * s for s in std])
    return nn.Sequential(scale, large).eval().requires_grad_(False).to(device), weights


large, weights = squeezenet(download=budget.name != "smoke")
print(f"SqueezeNet 1.1: {weights}")
photo = photographs()["flower"][None]  # (1, 3, 427, 640)
side = budget.pick(smoke=64, laptop=96, gpu=160)
photo = (
    interpolate(photo[..., 20:420, 90:490], size=(side, side), mode="bilinear", antialias=True).clamp(-1, 1).to(device)
)

parts = {
    "1.features.0": "first convolution",
    "1.features.4": "fire 3",
    "1.features.7": "fire 5",
    "1.features.12": "fire 9",
    "": "1000 scores",
}
pictures, titles = [photo], ["x*"]
for layer, name in parts.items():
    system = PreImage(net=large, layer=layer, images=photo, variation=10.0, generator=generator(6), device=device)
    history = fit(system.step, itertools.repeat(()), budget.steps(200, smoke=30))
    pictures.append(system.image.detach())
    titles.append(f"{name}\nfeatures off by {history['distance'][-1]:.1%}")
labelled_grid(torch.cat(pictures), titles, title=f"SqueezeNet, {weights}", inches=2.0)
plt.show()

# %% [markdown]
# The title says which weights were used; do not compare figures with different ones. Each picture is the answer to "what would an image be like that gives
# these features and is smooth?", and the number above it says how well the question was answered in so few steps.

# %% [markdown]
# ## 8 · The nearest wrong answer
#
# **Question.** From the scores alone we found pictures that the net reads like the digit and that look different. Is there also the opposite:
# a picture that looks the same, and is read differently?
#
# Begin with one matrix, where everything can be solved. It says y as long as s_y is the largest score. Class k takes over where
#
# $$s_k(x + r) - s_y(x + r) = d^{\top} r - m = 0, \qquad d = w_k - w_y, \qquad m = s_y(x) - s_k(x) > 0 .$$
#
# That is a plane. By Cauchy's inequality dᵀr ≤ ‖d‖ ‖r‖, with equality only if r points along d. So the nearest point of the plane is at
#
# $$r = \frac{m}{\lVert d\rVert^2}\, d, \qquad \lVert r\rVert = \frac{m}{\lVert d\rVert} .$$
#
# **And noise?** Let n have the same length, in a random direction among D dimensions. By symmetry each of its coordinates has variance
# ‖n‖²/D, also the one along d. So dᵀn has mean 0 and standard deviation
#
# $$\frac{\lVert d\rVert\,\lVert n\rVert}{\sqrt D} = \frac{m}{\sqrt D}\quad\text{for } \lVert n\rVert = \lVert r\rVert .$$
#
# A sixteenth of what is needed, for our D = 256; 388 times too little for a photograph of 224 × 224 in three colours. The more pixels, the larger the gap:
# not because the net is bad but because almost all directions are almost orthogonal to d.
#
# **Predict.** We go 1 % beyond the nearest plane of each test image that one matrix reads correctly. How long is r, compared with the distance to the nearest *real* digit
# of another class? How many are misread? And with noise of the same length?

# %%
scores = one_matrix(x_test)
seen = scores.argmax(1) == y_test
x, y, s = x_test[seen].flatten(1), y_test[seen], scores[seen]
d = one_matrix[1].weight[None] - one_matrix[1].weight[y][:, None]  # (N, 10, 256): towards each class
m = s.gather(1, y[:, None]) - s  # (N, 10), 0 for the class itself
reach = (m / d.norm(dim=2).clamp(min=1e-9)).masked_fill(m == 0, torch.inf)  # ‖r‖ for each class
k = reach.argmin(1)
picked = torch.arange(len(x), device=device)
r = 1.01 * (reach[picked, k] / d[picked, k].norm(dim=1))[:, None] * d[picked, k]  # (N, 256)
n = torch.randn(r.shape, generator=generator(7)).to(r)
n = n * (r.norm(dim=1) / n.norm(dim=1))[:, None]


def other_digit(x, y):
    """Distance from each image to the nearest training image of another class, (N,)."""
    return torch.cdist(x.flatten(1), x_train.flatten(1)).masked_fill(y[:, None] == y_train, torch.inf).amin(1)


print(
    f"median ‖r‖ {r.norm(dim=1).median():.2f}; to the nearest digit of another class {other_digit(x, y).median():.2f}"
)
for name, changed in (("r", x + r), ("noise of that length", x + n)):
    print(f"misread after {name}: {(read(one_matrix, changed) != y).double().mean():.1%}")
shown = torch.stack([picture.view(-1, 16, 16)[i] for i in (5, 11, 23) for picture in (x, r, x + r, x + n)])
image_grid(shown, columns=12, scale=1.0, title="three times: x, r, x + r (misread), x + noise as long (read correctly)")
plt.show()

# %% [markdown]
# Every image is misread after r, by construction: we computed the border and stepped over it. Noise as long moves the same score by a standard deviation of a sixteenth of
# the way. The distance to another digit is the yardstick for "small".
#
# Two things are missing. Some pixels of x + r are blacker than black, which no camera delivers: x + r must stay in the box [−1, 1]. And a net has
# no planes but curved borders. Both are a matter for an optimizer.

# %% [markdown]
# ## 9 · Szegedy's search: L-BFGS in a box
#
# **Question.** What is the smallest change after which the net says k, if every pixel must stay a pixel?
#
# $$\min \lVert r\rVert \quad\text{subject to}\quad \text{the net says } k \text{ to } x + r, \qquad x + r \in [-1, 1]^M .$$
#
# "The net says k" is no condition that an optimizer can follow: it has no slope. [Szegedy et al. 2014](https://arxiv.org/abs/1312.6199) replace it by the loss L
# that a trained net knows how to differentiate, and weigh the two against each other:
#
# $$\min_r\; c\,\lVert r\rVert^2 + L(x + r,\, k), \qquad x + r \in [-1, 1]^M .$$
#
# - With a *small* c the net may be fooled thoroughly, whatever it costs. With a *large* c, r stays near 0 and the net is not fooled. The largest c at
#   which the minimiser still fools the net gives the smallest r; it is found by bisection. (The paper has c in front of the norm, too, and asks for the
#   *minimum* c; with it there, it must be the maximum. On the slide c has slipped under the min.)
# - The paper writes ‖r‖, we ‖r‖². At r = 0 the length has no slope (r/‖r‖ has no limit), and r = 0 is where the search starts. Nothing is lost: for a
#   convex L the minimisers for all c > 0 are the same family, the nearest points to x among those with L at most some value.
# - **L-BFGS-B.** Newton's method would use the matrix of second derivatives, here 256 × 256. BFGS estimates its inverse from the
#   changes of the gradient between steps; L keeps only the last ten such changes; B projects on bounds. That is SciPy's
#   `minimize(..., method="L-BFGS-B")`; it needs a function that returns the value and the gradient as NumPy arrays in float64.


# %%
def fool(net, x, target, c, iterations=100):
    """argmin over x' in the box of c‖x' − x‖² + L(x', target), for one image x (1, ...) and target (1,)."""
    start = x.flatten().double().cpu().numpy()

    def value_and_gradient(values):
        candidate = torch.from_numpy(values).to(x).view_as(x).requires_grad_()
        loss = cross_entropy(net(candidate), target)
        (slope,) = torch.autograd.grad(loss, candidate)
        r = values - start
        return loss.item() + c * r @ r, slope.flatten().double().cpu().numpy() + 2 * c * r

    box = [(-1, 1)] * start.size
    solved = minimize(
        value_and_gradient, start, jac=True, method="L-BFGS-B", bounds=box, options={"maxiter": iterations}
    )
    return torch.from_numpy(solved.x).to(x).view_as(x)


x, target = ten[3:4], torch.tensor([8], device=device)
cs = np.logspace(-3, 1, 9)
found = torch.cat([fool(net, x, target, c, iterations=40) for c in cs])
lengths = (found - x).flatten(1).norm(dim=1).tolist()
p = net(found).softmax(1)[:, 8].tolist()
fooled = read(net, found) == 8

_, ax = plt.subplots(figsize=(6.6, 3.2))
ax.semilogx(cs, lengths, "o-", label="‖r‖")
ax.set(xlabel="c, the price of ‖r‖²", ylabel="‖r‖", title="a 3 that shall be read as 8", ylim=(0, None))
right_axis = ax.twinx()
right_axis.semilogx(cs, p, "s-", color=COLOURS[1])
right_axis.set_ylabel("p(8)", color=COLOURS[1])
right_axis.set_ylim(-0.02, 1.05)
right_axis.spines["right"].set_visible(True)
ax.yaxis.label.set_color(COLOURS[0])
plt.show()
last = int(fooled.nonzero().max())
print(f"the largest of these c that fools the net is {cs[last]:.3g}, with ‖r‖ = {lengths[last]:.2f}")
image_grid(found, columns=9, scale=1.1, title="x + r, from cheap changes to dear ones")
plt.show()

# %% [markdown]
# The library adds the bisection over c: `nearest_adversarial`. It is given `minimize`, since the library itself does without SciPy.
#
# **Predict.** For test images and random wrong targets: in how many cases is there such an r? How long is it, compared with the distance to the nearest *real* training image of the target
# class?

# %%
from course_lib.metrics.robustness import noise_of_norm
from course_lib.systems.nearest_adversarial import nearest_adversarial

count = budget.pick(smoke=8, laptop=30, gpu=100)
effort = {"searches": budget.pick(smoke=3, laptop=7), "iterations": budget.pick(smoke=20, laptop=60)}
victims, truth = x_test[right][:count], y_test[right][:count]
offsets = torch.randint(1, 10, (count,), generator=generator(8)).to(device)
targets = (truth + offsets) % 10
nearest = nearest_adversarial(net, victims, targets, minimize=minimize, **effort)
control = noise_of_norm(victims, nearest.norm, generator=generator(9))

to_target = (
    torch.cdist(victims.flatten(1), x_train.flatten(1)).masked_fill(targets[:, None] != y_train, torch.inf).amin(1)
)
print(
    f"found for {nearest.found.double().mean():.0%} of {count}; median ‖r‖ {nearest.norm.median():.2f} ({nearest.norm.median() / 16:.3f} a pixel)"
)
print(f"median distance to the nearest training image of the target class: {to_target.median():.2f}")
print(f"misread with noise of the same length: {(read(net, control) != truth).double().mean():.1%}")

shown = slice(0, 8)
r = (nearest.images - victims)[shown]
largest = r.abs().amax((1, 2, 3), keepdim=True)
captions = [
    *(f"read {k}" for k in truth[shown].tolist()),
    *(f"× {1 / value:.1f}" for value in largest.flatten().tolist()),
    *(f"read {k}" for k in read(net, nearest.images[shown]).tolist()),
    *(f"read {k}" for k in read(net, control[shown]).tolist()),
]
pictures = torch.cat([victims[shown], r / largest, nearest.images[shown], control[shown]])
labelled_grid(pictures, [""] * 8, ["x", "r, enlarged", "x + r", "x + noise"], captions=captions)
plt.show()
record(
    "L-BFGS-B: share of images read as the class that was chosen at random", nearest.found.double().mean(), at_least=1.0
)
record(
    "L-BFGS-B: ‖r‖ / distance to a real digit of that class, median", (nearest.norm / to_target).median(), at_most=0.5
)
record("L-BFGS-B: misread with random noise as long", (read(net, control) != truth).double().mean(), at_most=0.15)

# %% [markdown]
# "Small" needs a yardstick, and the length of a vector of 256 numbers is none. The distance to the nearest real digit of the wanted class is: it is how far one must go if
# the picture is to *be* that digit.
#
# Look at how the control is made. Most pixels of a digit are black, −1, the end of the box. Noise that is simply cut off there would lose up to half
# of its squared length and make the attack look better than it is; `noise_of_norm` turns it inwards at such pixels and makes it exactly as long as r.

# %% [markdown]
# ## 10 · One step, many steps
#
# **Question.** L-BFGS needs hundreds of evaluations for an image. What can be had with a single gradient?
#
# Turn the question round: given how long r may be, how bad can it get? To first order L(x + r) ≈ L(x) + gᵀr, with g = dL/dx. The best r depends on how
# length is measured:
#
# $$\max_{\lVert r\rVert_\infty \le \varepsilon} g^{\top} r = \varepsilon\sum_i |g_i| \ \text{ at } r = \varepsilon\,\mathrm{sign}\,g,
# \qquad
# \max_{\lVert r\rVert_2 \le \varepsilon} g^{\top} r = \varepsilon\lVert g\rVert \ \text{ at } r = \varepsilon\,\frac{g}{\lVert g\rVert}.$$
#
# In the first each pixel may change by ε and does its best by itself; in the second it is Cauchy's inequality again. One such step is **FGSM**, the fast gradient sign method
# ([Goodfellow et al. 2015](https://arxiv.org/abs/1412.6572)). The loss is no plane, so many small steps are better, each followed by a projection
# back into the ball and the box: **PGD** ([Madry et al. 2018](https://arxiv.org/abs/1706.06083)).


# %%
def slope(net, x, labels):
    """dL/dx of each image: a sum over the batch, so that no image's slope is divided by their number."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(cross_entropy(net(x), labels, reduction="sum"), x)[0]


def length(r):
    """(N, 1, 1, 1)"""
    return r.flatten(1).norm(dim=1).view(-1, 1, 1, 1).clamp(min=1e-30)


def our_fgsm(net, x, labels, eps):
    return (x + eps * slope(net, x, labels).sign()).clamp(-1, 1)


def our_pgd(net, x, labels, eps, steps):
    """Steps of 2.5 ε/steps along the gradient, within ‖r‖ ≤ ε and the box."""
    moved = x
    for _ in range(steps):
        g = slope(net, moved, labels)
        r = moved + 2.5 * eps / steps * g / length(g) - x
        r = r * (eps / length(r)).clamp(max=1)  # back into the ball
        moved = (x + r).clamp(-1, 1)  # back into the box, which makes no r longer
    return moved


from course_lib.systems.adversarial import fgsm, pgd

labels = torch.arange(10, device=device)
difference = (our_fgsm(net, ten, labels, 0.2) - fgsm(net, ten, labels, eps=0.2)).abs().max()
print(f"FGSM, ours − the library's: {difference:.0e}")
difference = (our_pgd(net, ten, labels, 2.0, 10) - pgd(net, ten, labels, eps=2.0, norm="l2", steps=10)).abs().max()
print(f"PGD,  ours − the library's: {difference:.0e}")

# %% [markdown]
# **Predict.** On one axis, the mean length of what was changed; on the other, the share of misread images. Order these five at a length of 2: FGSM; PGD with a bound on each
# pixel; PGD with a bound on the length; noise; L-BFGS-B aimed at the runner-up.

# %%
some = slice(0, budget.pick(smoke=50, laptop=360))
x, y = x_test[some], y_test[some]
radii = np.array([0.5, 1, 1.5, 2, 3, 4, 6])
attacks = {
    "PGD, length bounded": lambda e: pgd(net, x, y, eps=e, norm="l2", steps=10),
    "PGD, each pixel bounded": lambda e: pgd(net, x, y, eps=e / 12, steps=10),
    "FGSM": lambda e: fgsm(net, x, y, eps=e / 12),
    "noise": lambda e: noise_of_norm(x, torch.full((len(x),), e), generator=generator(10)),
}
clean = float((read(net, x) != y).double().mean())
curve = {}
for name, attack in attacks.items():
    changed = [attack(float(e)) for e in radii]
    curve[name] = (
        [0.0, *(float((z - x).flatten(1).norm(dim=1).mean()) for z in changed)],
        [clean, *(float((read(net, z) != y).double().mean()) for z in changed)],
    )

second = net(victims).detach().scatter(1, truth[:, None], -torch.inf).argmax(1)
nearest_second = nearest_adversarial(net, victims, second, minimize=minimize, **effort)

_, ax = plt.subplots(figsize=(7, 3.8))
for name, (lengths, errors) in curve.items():
    ax.plot(lengths, errors, ".-", label=name, color="#999999" if name == "noise" else None)
ordered = nearest_second.norm.sort().values.cpu()
ax.step(
    [0, *ordered],
    np.arange(count + 1) / count,
    where="post",
    color="black",
    linewidth=1.2,
    label="L-BFGS-B, to the runner-up",
)
ax.set(xlabel="mean ‖r‖", ylabel="share misread", xlim=(0, 7.2), ylim=(0, 1.03), title="how long, and how often fooled")
ax.axvline(float(other_digit(x, y).median()), color=COLOURS[4], linestyle="--", linewidth=1.2)
ax.text(float(other_digit(x, y).median()) + 0.08, 0.7, "another digit", color=COLOURS[4], rotation=90, fontsize=9)
ax.legend(loc="center right", bbox_to_anchor=(0.88, 0.3))
plt.show()

# %% [markdown]
# How to read it: a curve farther to the left needs less. PGD with bounded length and the search by L-BFGS-B ask nearly the same question, one with a given length and one with a given
# class; FGSM spends its length evenly on all pixels, whether their slope is large or small, and believes in a single slope.
#
# Now *every* test image. How long must its r be, measured by the distance from that image to the nearest training image of another class? We try an eighth of that distance,
# two eighths, and so on, until PGD has succeeded; noise, as long as the r that worked, is the control. Up to four eighths, by the triangle
# inequality, x + r is at least as near to x as to any training image of another class.

# %%
way = other_digit(x_test, y_test)  # (N,), to the nearest real digit of another class


def shortest_that_fools(net, x, y, way, steps=20, eighths=8):
    """The first multiple of way/8 within which PGD makes the net misread x, as a share of way, (N,); and x + r."""
    needed, found = torch.full_like(way, torch.inf), x.clone()
    needed[read(net, x) != y] = 0
    for k in range(1, eighths + 1):
        left = needed.isinf().nonzero()[:, 0]
        if not len(left):
            break
        changed = our_pgd(net, x[left], y[left], (k / 8 * way[left]).view(-1, 1, 1, 1), steps)
        fooled = read(net, changed) != y[left]
        needed[left[fooled]], found[left[fooled]] = k / 8, changed[fooled]
    return needed, found


needed, found = shortest_that_fools(net, x_test, y_test, way)
long = (found - x_test).flatten(1).norm(dim=1)
control = noise_of_norm(x_test, long, generator=generator(11))
noise_fools = float((read(net, control) != y_test)[right].double().mean())
for k in range(9):
    print(f"‖r‖ at most {k}/8 of the way to another digit: {(needed <= k / 8).double().mean():.1%} misread")
print(f"median way {way.median():.2f}, median ‖r‖ {long[right].median():.2f}; noise as long: {noise_fools:.1%} misread")
record("PGD: ‖r‖ needed by a test image / its way to another digit, median", needed.median(), at_most=0.5)
record("PGD: the same, the largest of all test images", needed.max(), at_most=0.875)
record("random noise as long: share misread", noise_fools, at_most=0.05)

# %% [markdown]
# Are many steps better than one of the same length, along the slope at x? With a quarter of the way:

# %%
g = slope(net, x_test, y_test)
one_step = (x_test + (way / 4).view(-1, 1, 1, 1) * g / length(g)).clamp(-1, 1)
one, many = (read(net, one_step) != y_test).double().mean(), (needed <= 1 / 4).double().mean()
print(f"one step: {one:.1%} misread, PGD: {many:.1%} misread")
record("PGD − one step, a quarter of the way: share misread", many - one, at_least=0.03)


# %%
def draw_fooled(digit, wanted, eps):
    """Push a digit towards a class of your choice."""
    x = ten[digit : digit + 1]
    changed = pgd(net, x, torch.tensor([wanted], device=device), eps=eps, norm="l2", steps=20, targeted=True)
    with torch.no_grad():
        before, after = (net(z).softmax(1)[0].cpu() for z in (x, changed))
    _, axes = plt.subplots(1, 4, figsize=(10.6, 2.6), width_ratios=[1, 1, 1, 1.9])
    r = changed - x
    for ax, picture, title in zip(
        axes,
        (x, r, changed),
        ("x", f"r, ‖r‖ = {float(r.norm()):.2f}", f"x + r, read as {int(after.argmax())}"),
        strict=False,
    ):
        image_grid(picture, ax=ax, title=title)
    axes[3].bar(np.arange(10) - 0.2, before, 0.4, label="x")
    axes[3].bar(np.arange(10) + 0.2, after, 0.4, label="x + r")
    axes[3].set(xticks=range(10), ylim=(0, 1.05), ylabel="probability")
    axes[3].legend(loc="upper left", ncol=2, bbox_to_anchor=(0, 1.22))


explore(
    draw_fooled,
    digit=slider(0, 9, 8),
    wanted=slider(0, 9, 5, label="shall be read as"),
    eps=slider(0.0, 8.0, 4.0, step=0.25, label="‖r‖ at most"),
)

# %% [markdown]
# **Play.** For each pair, find the smallest length that works. Is the way from 1 to 7 as long as the way from 7 to 1? Which class is hardest to reach from everywhere? And at which length do *you*
# begin to read the wanted digit?
#
# **What went wrong: defences that only hide the slope.** Here is one that costs nothing. Multiply all scores by 1000. The largest remains the largest, so accuracy is exactly the same.
#
# **Predict.** FGSM against this net: better, worse, or the same?

# %%
defended = nn.Sequential(net, nn.Linear(10, 10, bias=False)).requires_grad_(False).to(device)
defended[1].weight.copy_(1000 * torch.eye(10))
unmoved = (slope(defended, x_test, y_test).flatten(1).norm(dim=1) == 0).double().mean()
made_on_defended = fgsm(defended, x_test, y_test, eps=0.25)
made_on_net = fgsm(net, x_test, y_test, eps=0.25)
hidden = {
    "FGSM on the net": read(net, made_on_net),
    "FGSM on the “defended” net": read(defended, made_on_defended),
    "“defended” net, images made on the other": read(defended, made_on_net),
}
hidden = {name: float((says != y_test).double().mean()) for name, says in hidden.items()}
for name, value in hidden.items():
    print(f"{name:42} {value:.1%} misread")
print(f"{unmoved:.0%} of the images have a slope of exactly 0")
record(
    "scores × 1000: FGSM's success that seems to be lost",
    hidden["FGSM on the net"] - hidden["FGSM on the “defended” net"],
    at_least=0.2,
)

# %% [markdown]
# With scores a thousand times as far apart, p of the right class is 1 to the last bit, dL/ds = p − onehot is exactly 0 in float32, and sign 0 = 0: the attack does
# not move. Nothing has become safer, as the last line shows. It happened to people without intent: a user of a library of attacks found that
# FGSM had left 45 % of the MNIST test images [as they were](https://github.com/cleverhans-lab/cleverhans/issues/350). And with intent: of nine defences
# accepted at one conference, [Athalye, Carlini and Wagner 2018](https://arxiv.org/abs/1802.00420) found that seven relied on hiding or breaking the gradient; they got around six of
# these completely and one in part. An attack that fails proves nothing until somebody has tried to repair *the attack*.

# %% [markdown]
# ## 11 · It travels
#
# **Question.** Is an adversarial example a flaw of one particular net, of its random start, of its architecture, or of something that all of them share?
#
# Train others: the same net from another start, one with large windows and strides, two matrices, and the one matrix of section 3. Make images against each (PGD,
# ‖r‖ at most half the way to another digit) and show them to all. The control is again noise as long.
#
# **Predict.** Which entries off the diagonal will be large? Do images made against one matrix fool the convolutional net, or the other way round?

# %%
from course_lib.metrics.robustness import transfer_table

torch.manual_seed(SEED + 100)
nets = {
    "conv": net,
    "conv′": convolutional(),
    "strides": nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 10),
    ),
    "2 matrices": nn.Sequential(nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10)),
    "1 matrix": one_matrix,
}
for name in ("conv′", "strides", "2 matrices"):
    trained(nets[name].to(device), x_train, y_train, training_steps, SEED + 1)

some = slice(0, budget.pick(smoke=100, laptop=360))
attack = partial(our_pgd, eps=(way[some] / 2).view(-1, 1, 1, 1), steps=10)
table = transfer_table(nets, x_test[some], y_test[some], attack, generator=generator(12))
print(table)

_, axes = plt.subplots(1, 2, figsize=(10.6, 4.0))
for ax, values, title in zip(
    axes,
    (table.fooled, table.noise),
    ("adversarial, ‖r‖ ≤ half the way to another digit", "noise as long"),
    strict=True,
):
    ax.imshow(values, cmap="Oranges", vmin=0, vmax=1.2)
    for i, j in itertools.product(range(len(nets)), repeat=2):
        ax.text(j, i, f"{values[i, j]:.0%}", ha="center", va="center")
    ax.set_xticks(range(len(nets)), list(nets), fontsize=8)
    ax.set_yticks(range(len(nets)), list(nets))
    ax.set(xlabel="misread by", ylabel="made on" if ax is axes[0] else "", title=title)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
plt.show()
off = ~torch.eye(len(nets), dtype=torch.bool)
record("transfer: misread by a net the image was not made on, mean", table.fooled[off].mean(), at_least=0.4)
record("transfer: the same − noise as long", (table.fooled[off] - table.noise[off]).mean(), at_least=0.35)

# %% [markdown]
# A row is who it was made on, a column is who reads it. The diagonal is section 10. Off the diagonal nobody looked at the reader's weights: what is
# misread there beyond the noise is shared by nets that were drawn independently and built differently, and have only the training images in common.

# %% [markdown]
# ## 12 · Illusions, and how steep Φ is
#
# **Question.** The slide's conclusion from adversarial examples is that Φ is not smooth. Can that be put into a number?
#
# Start with the other extreme: not a small change of a digit but no digit at all. From noise, PGD towards each class:

# %%
static = noisy(0 * ten, 0.3, offset=13).clamp(-1, 1)
rubbish = pgd(net, static, torch.arange(10, device=device), eps=5.0, norm="l2", steps=30, targeted=True)
with torch.no_grad():
    sure = net(rubbish).softmax(1).diagonal()
labelled_grid(rubbish, [f"“{k}”, p = {p:.3f}" for k, p in enumerate(sure.tolist())], inches=1.2)
plt.show()
record("rubbish images: probability of the wanted class, least of ten", sure.min(), at_least=0.95)

# %% [markdown]
# The net must say one of ten; nobody taught it to say "this is nothing". [Nguyen, Yosinski and Clune 2015](https://arxiv.org/abs/1412.1897) made such images for
# nets for digits and for photographs, by gradient and also by mere variation and selection. Nets for digits that they trained again, with such images as a class of their own, were
# fooled by new ones.
#
# **Your own net can be fooled, too.** In the left picture the bar has one grey level everywhere; measure it. An eye's first cells report not the light but the
# *difference* between a point and its surroundings, one of the convolutions of lecture 01. The second picture computes it, and there the bar is
# not even.

# %%
scene = torch.linspace(-0.8, 0.8, 240).expand(1, 1, 90, 240).clone()
scene[..., 35:55, 20:220] = 0.0  # one grey level
surround = avg_pool2d(scene, 41, stride=1, padding=20, count_include_pad=False)
response = scene - surround
_, axes = plt.subplots(1, 3, figsize=(12.4, 2.3))
image_grid(scene, ax=axes[0], title="a bar of one grey level")
image_grid(response / response.abs().max(), ax=axes[1], title="centre − surround")
axes[2].plot(scene[0, 0, 45, 20:220], label="grey level of the bar")
axes[2].plot(response[0, 0, 45, 20:220], label="centre − surround")
axes[2].set(xlabel="along the bar, pixels", ylim=(-0.6, 0.6))
axes[2].legend()
plt.show()

# %% [markdown]
# An illusion is not a malfunction: it is a representation that answers another question than the one we ask. How much *can* a layer's answer change?
#
# **From below.** For small r, Φ(x + r) − Φ(x) ≈ J r. The largest stretch ‖J r‖/‖r‖ over all r is the largest singular value σ₁(J), the root of the largest
# eigenvalue of JᵀJ. Repeating v ← JᵀJ v and normalising makes v turn to that eigenvector: every eigenvector's share is multiplied by its eigenvalue, and the
# largest wins. J v and Jᵀu are one forward and one backward pass, so J is never built. The result is a **local Lipschitz estimate**: no Lipschitz constant of Φ
# can be smaller.
#
# **From above.** A chain can stretch at most by the product of what its layers stretch. A ReLU and a maximum over disjoint windows never stretch:
# |max(a, 0) − max(b, 0)| ≤ |a − b|. So
#
# $$\max_x \sigma_1(J(x)) \;\le\; \mathrm{Lip}(\Phi) \;\le\; \prod_{\text{linear layers } l} \sigma_1(W_l) .$$
#
# For the ten scores J has only ten rows, and we can afford the exact answer as a check:


# %%
def jacobians(f, x):
    """J of f: (N, ...) -> (N, K) at each image, (N, K, D): one backward pass for each of the K outputs."""
    x = x.detach().requires_grad_()
    y = f(x)
    rows = [torch.autograd.grad(y[:, k].sum(), x, retain_graph=True)[0].flatten(1) for k in range(y.shape[1])]
    return torch.stack(rows, dim=1)


def power_iteration(J, steps, offset):
    v = torch.randn(J.shape[0], J.shape[2], 1, generator=generator(offset)).to(J)
    for _ in range(steps):
        v = J.mT @ (J @ v)
        v = v / v.norm(dim=1, keepdim=True)
    return (J @ v).norm(dim=1)[:, 0]


from course_lib.metrics.robustness import local_lipschitz, stretch

few = victims[:12]
J = jacobians(net, few)
exact = torch.linalg.svdvals(J)[:, 0]
print("exact                ", exact[:6].cpu().numpy().round(2))
print("power iteration      ", power_iteration(J, 40, 14)[:6].cpu().numpy().round(2))
library = local_lipschitz(net, few, steps=40, generator=generator(14))
print("library, J not built ", library[:6].cpu().numpy().round(2))
record(
    "local Lipschitz estimate / largest singular value, least of a few images",
    (library / exact).min(),
    at_least=0.9,
    at_most=1.001,
)

# %% [markdown]
# **Predict.** We follow three changes through the net: r of section 9, noise as long, and the worst infinitesimal change. How does ‖Φ(x + r) − Φ(x)‖/‖r‖ grow with depth for each? Where between
# them lies the bound from above?

# %%
adversarial, random = nearest.images[:12], noise_of_norm(few, nearest.norm[:12], generator=generator(15))
product, bound, x = 1.0, {}, few[:1]
for name, part in net.named_children():
    if hasattr(part, "weight"):  # linear: the same slope everywhere, so 0 will do
        product *= float(local_lipschitz(part, torch.zeros_like(x), steps=60, generator=generator(16)))
    x = part(x)
    bound[name] = product
grown = {
    "product of the layers (bound)": [bound[k] for k in LAYERS],
    "worst small change, J": [],
    "adversarial r": [],
    "noise as long": [],
}
for layer in LAYERS:
    features = LayerOutput(net, layer)
    grown["worst small change, J"].append(
        float(local_lipschitz(features, few, steps=budget.pick(smoke=12, laptop=30), generator=generator(17)).mean())
    )
    grown["adversarial r"].append(float(stretch(features, few, adversarial).mean()))
    grown["noise as long"].append(float(stretch(features, few, random).mean()))

_, ax = plt.subplots(figsize=(7, 3.6))
for (name, values), style in zip(grown.items(), ("k--", "C0o-", "C1s-", "C5^-"), strict=True):
    ax.semilogy(LAYERS, values, style, label=name)
ax.set(ylabel="stretch: ‖ΔΦ‖ / ‖Δx‖", title="from layer to layer")
ax.legend()
plt.show()
record(
    "stretch up to the scores, adversarial r / noise as long",
    grown["adversarial r"][-1] / grown["noise as long"][-1],
    at_least=2,
)

# %% [markdown]
# r has a finite length, and J is another one farther along the way; so r may be stretched less than the worst small change at x, or more. The dashed
# line is above everything, as it must be. That it lies far above is the price for looking at each layer by itself: the direction that one layer stretches most is not the one
# that the layer before delivers.
#
# **A guarantee.** The bound from above is good for something: it proves that small changes *cannot* fool. To be read as k instead of y, s_y − s_k must fall
# from its margin m_k to 0. It is a scalar product of the scores with a vector (1 at y, −1 at k) of length √2, so it changes by at most √2 ‖Δs‖ ≤ √2 · Lip · ‖r‖. Hence
#
# $$\lVert r\rVert \;\ge\; \frac{m_k}{\sqrt2\;\mathrm{Lip}}$$
#
# for every r that makes the net say k. The local slope, in turn, *guesses* the length needed, by section 8's formula with d = ∇(s_k − s_y). Both against what L-BFGS-B found:

# %%
s, J = net(victims), jacobians(net, victims)
picked = torch.arange(count, device=device)
margin = s[picked, truth] - s[picked, targets]
guess = (margin / (J[picked, targets] - J[picked, truth]).norm(dim=1)).cpu()
certified = (margin / (2**0.5 * bound["scores"])).cpu()
needed = nearest.norm.cpu()
_, ax = plt.subplots(figsize=(7.6, 3.6))
ax.loglog(needed, guess, "o", label="guess from the local slope")
ax.loglog(needed, certified, "s", color=COLOURS[2], label="proved by the product of the layers")
span = np.array([float(needed.min()) / 1.3, float(needed.max()) * 1.3])
ax.loglog(span, span, "k--", linewidth=1, label="equal")
ax.set(xlabel="‖r‖ that L-BFGS-B found", ylabel="‖r‖ that is needed, estimated")
ax.minorticks_off()
ax.set_xticks([1, 2, 4, 8], labels=["1", "2", "4", "8"])
ax.set_yticks([0.01, 0.1, 1, 10], labels=["0.01", "0.1", "1", "10"])
ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
plt.show()
print(
    f"median guess / found {(guess / needed).median():.2f}, median certified / found {(certified / needed).median():.4f}"
)
record("certified length / length found, largest", (certified / needed).max(), at_most=1.0)
record("guess from the local slope / length found, median", (guess / needed).median(), at_least=0.4, at_most=2.5)

# %% [markdown]
# The squares must lie below the line; that is a theorem. How far below says how little the theorem knows about this net. The circles may lie on either side: they extrapolate a
# slope, and it is the same linear explanation as for one matrix. What the slide calls non-smooth is, in numbers, a large σ₁ in a few directions, which noise does not find.

# %% [markdown]
# ## 13 · Exercises
#
# They lead to the problem set **ps03_inversion**, which is graded.
#
# 1. *(5 min)* In section 3, start from x₀ = 0. What is x∞, and why is it the pre-image of least length?
# 2. *(10 min)* Derive the gradient of TV² at a pixel inside the image. Which convolution of lecture 01 is it?
# 3. *(10 min)* Invert pool3 from ten starts and average the results. Is the average a pre-image? Is it closer to x\* than each of them? Why?
# 4. *(10 min)* In `fool`, replace c‖r‖² by c‖r‖ and start at r = 0. What happens in the first step, and what would you change?
# 5. *(15 min)* Derive the best single step for a bound on Σ|rᵢ|. How many pixels does it change? Measure its curve.
# 6. *(15 min)* Train the net on `pgd` images made anew at each step, with ‖r‖ ≤ 1 (adversarial training). What becomes of the curves of section 10, of the accuracy on clean
#    images, and of the local Lipschitz estimate?
# 7. *(20 min)* Add an eleventh class, "nothing", with noise as examples. Can you still make rubbish that is read as a digit? What do you conclude about noise as an example of nothing?
# 8. *(20 min)* Repeat sections 8 and 9 with the digits enlarged to 32 × 32. Section 8 predicts how the ratio of noise to r changes. Does it?
#
# ## 14 · Reading
#
# - A. Mahendran, A. Vedaldi, [Understanding deep image representations by inverting them](https://arxiv.org/abs/1412.0035), 2015: our sections 3 to 6; also inverts the features
#   that people designed before nets.
# - C. Szegedy, W. Zaremba, I. Sutskever, J. Bruna, D. Erhan, I. Goodfellow, R. Fergus, [Intriguing properties of neural networks](https://arxiv.org/abs/1312.6199), 2014:
#   section 4 is our sections 9, 11 and 12.
# - I. Goodfellow, J. Shlens, C. Szegedy, [Explaining and harnessing adversarial examples](https://arxiv.org/abs/1412.6572), 2015: the linear explanation of section 8, and FGSM.
# - A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A. Vladu, [Towards deep learning models resistant to adversarial attacks](https://arxiv.org/abs/1706.06083), 2018: PGD, and training against it
#   as a saddle point, the first of many in this course.
# - A. Athalye, N. Carlini, D. Wagner, [Obfuscated gradients give a false sense of security](https://arxiv.org/abs/1802.00420), 2018: how to tell a defence from a broken attack.
# - A. Dosovitskiy, T. Brox, [Inverting visual representations with convolutional networks](https://arxiv.org/abs/1506.02753), 2016: *learn* the way back, in one pass; compare what it
#   returns with our strip.
