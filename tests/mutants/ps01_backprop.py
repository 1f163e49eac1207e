# ruff: noqa: E501
"""Mutants of problem set 1: what beginners write, and right solutions of other kinds."""

from course_lib.authoring.mutants import Edit, Task

LINEAR_BY_EINSUM = """
class Linear(Layer):
    def __init__(self, weight, bias, decay=0.0):
        super().__init__()
        self.w = {"weight": np.array(weight, dtype=float), "bias": np.array(bias, dtype=float)}
        self.decay = decay

    def forward(self, x):
        self.kept = np.array(x, dtype=float)
        return np.einsum("ts,...s->...t", self.w["weight"], self.kept) + self.w["bias"]

    def backward(self, dz_dy):
        s, t = self.kept.shape[-1], dz_dy.shape[-1]
        self.dz_dw["weight"] = np.einsum("mt,ms->ts", dz_dy.reshape(-1, t), self.kept.reshape(-1, s))
        self.dz_dw["bias"] = np.einsum("mt->t", dz_dy.reshape(-1, t))
        return np.einsum("...t,ts->...s", dz_dy, self.w["weight"])

    def update(self, learning_rate):
        self.w = {
            "weight": (1 - learning_rate * self.decay) * self.w["weight"] - learning_rate * self.dz_dw["weight"],
            "bias": self.w["bias"] - learning_rate * self.dz_dw["bias"],
        }
"""
LINEAR_BY_LOOPS = """
class Linear(Layer):
    def __init__(self, weight, bias, decay=0.0):
        super().__init__()
        self.w = {"weight": np.array(weight, dtype=float), "bias": np.array(bias, dtype=float)}
        self.decay = decay

    def forward(self, x):
        self.x = x
        y = np.empty((*x.shape[:-1], len(self.w["bias"])))
        for index in np.ndindex(*x.shape[:-1]):
            for t in range(len(self.w["bias"])):
                y[(*index, t)] = self.w["bias"][t] + (self.w["weight"][t] * x[index]).sum()
        return y

    def backward(self, dz_dy):
        dz_dx = np.zeros(self.x.shape)
        weight, bias = np.zeros_like(self.w["weight"]), np.zeros_like(self.w["bias"])
        for index in np.ndindex(*self.x.shape[:-1]):
            bias += dz_dy[index]
            weight += np.outer(dz_dy[index], self.x[index])
            dz_dx[index] = self.w["weight"].T @ dz_dy[index]
        self.dz_dw = {"weight": weight, "bias": bias}
        return dz_dx

    def update(self, learning_rate):
        self.w["weight"] *= 1 - learning_rate * self.decay
        for name in self.w:
            self.w[name] -= learning_rate * self.dz_dw[name]
"""
linear = Task(
    wrong={
        "forgets the bias": Edit(('x @ self.w["weight"].T + self.w["bias"]', 'x @ self.w["weight"].T')),
        "weight not transposed": Edit(('x @ self.w["weight"].T', 'x @ self.w["weight"]')),
        "gradient of the weight transposed": Edit(("r.T @ x", "x.T @ r")),
        "sums over the examples only": Edit(('"bias": r.sum(axis=0)', '"bias": dz_dy.sum(axis=0)')),
        "keeps dims of the bias": Edit(("r.sum(axis=0)", "r.sum(axis=0, keepdims=True)")),
        "mean in place of the sum": Edit(("r.sum(axis=0)", "r.mean(axis=0)")),
        "weight gradient divided by the batch": Edit(("r.T @ x,", "r.T @ x / len(self.x),")),
        "bias summed over the outputs": Edit(("r.sum(axis=0)", "r.sum()")),
        "adds up over batches": Edit(
            ("super().__init__()", "super().__init__()\n        self.total = 0.0"),
            (
                "        return dz_dy @",
                '        self.total = self.total + self.dz_dw["bias"]\n        self.dz_dw["bias"] = self.total\n        return dz_dy @',
            ),
        ),
        "keeps the first x": Edit(("self.x = x\n", "self.x = self.x if hasattr(self, 'x') else x\n")),
        "uphill": Edit(('self.w["weight"] -=', 'self.w["weight"] +='), ('self.w["bias"] -=', 'self.w["bias"] +=')),
        "no decay": Edit((' + self.decay * self.w["weight"])', ")")),
        "the bias decays too": Edit(
            ('learning_rate * self.dz_dw["bias"]', 'learning_rate * (self.dz_dw["bias"] + self.decay * self.w["bias"])')
        ),
        "decay without the learning rate": Edit(
            (
                'learning_rate * (self.dz_dw["weight"] + self.decay * self.w["weight"])',
                'learning_rate * self.dz_dw["weight"] + self.decay * self.w["weight"]',
            )
        ),
        "update of a local name": Edit(
            (
                'self.w["bias"] -= learning_rate * self.dz_dw["bias"]',
                'bias = self.w["bias"] - learning_rate * self.dz_dw["bias"]',
            )
        ),
        "adds the bias in place to x": Edit(
            (
                'return x @ self.w["weight"].T + self.w["bias"]',
                'x *= 1.0 + 1e-6\n        return x @ self.w["weight"].T + self.w["bias"]',
            )
        ),
    },
    right={"einsum, and new arrays in update": LINEAR_BY_EINSUM, "loops and outer products": LINEAR_BY_LOOPS},
)

SWISH_BY_SWAPPING_AXES = """
class Swish(Layer):
    def __init__(self, beta):
        super().__init__()
        self.w = {"beta": np.array(beta, dtype=float)}

    @staticmethod
    def sigmoid(a):
        small = np.exp(-np.abs(a))
        return np.where(a >= 0, 1 / (1 + small), small / (1 + small))

    def forward(self, x):
        self.last = np.moveaxis(x, 1, -1)  # the channel last: beta needs no reshaping
        return np.moveaxis(self.last * self.sigmoid(self.w["beta"] * self.last), -1, 1)

    def backward(self, dz_dy):
        beta, x, r = self.w["beta"], self.last, np.moveaxis(dz_dy, 1, -1)
        s = self.sigmoid(beta * x)
        y = x * s
        self.dz_dw["beta"] = (r * x * y * (1 - s)).reshape(-1, len(beta)).sum(0)
        return np.moveaxis(r * (s + beta * y * (1 - s)), -1, 1)
"""
SWISH_BY_CHANNELS = """
class Swish(Layer):
    def __init__(self, beta):
        super().__init__()
        self.w = {"beta": np.array(beta, dtype=float)}

    def forward(self, x):
        self.x, self.s = x, np.empty(x.shape)
        with np.errstate(over="ignore"):
            for c, beta in enumerate(self.w["beta"]):
                self.s[:, c] = 1 / (1 + np.exp(-beta * np.asarray(x[:, c], float)))
        return x * self.s

    def backward(self, dz_dy):
        dz_dx, self.dz_dw = np.empty(self.x.shape), {"beta": np.zeros(self.x.shape[1])}
        for c, beta in enumerate(self.w["beta"]):
            r, x, s = dz_dy[:, c], self.x[:, c], self.s[:, c]
            self.dz_dw["beta"][c] = np.sum(r * x**2 * s * (1 - s))
            dz_dx[:, c] = r * s + r * beta * x * s * (1 - s)
        return dz_dx
"""
swish = Task(
    wrong={
        "beta on the last axis": Edit(('self.w["beta"].reshape(-1, *[1] * (x.ndim - 2))', 'self.w["beta"]')),
        "overflow": Edit(
            (
                "self.s = 0.5 * (1 + np.tanh(0.5 * self.beta * x))",
                "self.s = np.exp(self.beta * x) / (1 + np.exp(self.beta * x))",
            )
        ),
        "beta left out": Edit(("np.tanh(0.5 * self.beta * x)", "np.tanh(0.5 * x)")),
        "forgets the first term": Edit(("(self.s + self.beta * self.x * ds)", "(self.beta * self.x * ds)")),
        "forgets the second term": Edit(("(self.s + self.beta * self.x * ds)", "self.s")),
        "forgets the inner derivative": Edit(("self.s + self.beta * self.x * ds", "self.s + self.x * ds")),
        "x in place of x²": Edit(("self.x**2 * ds", "self.x * ds")),
        "beta's gradient not summed over pixels": Edit(("(0, *range(2, self.x.ndim))", "0")),
        "one gradient for all channels": Edit((".sum(axis=shared)", ".sum()")),
        "beta's gradient is a mean": Edit((".sum(axis=shared)", ".mean(axis=shared)")),
        "σ' of x": Edit(("ds = self.s * (1 - self.s)", "ds = self.x * (1 - self.x)")),
        "forgets dz_dy": Edit(("return dz_dy * (self.s", "return (self.s")),
        "multiplies dz_dy in place": Edit(
            (
                "return dz_dy * (self.s + self.beta * self.x * ds)",
                "dz_dy *= self.s + self.beta * self.x * ds\n        return dz_dy",
            )
        ),
        "images only": Edit(("reshape(-1, *[1] * (x.ndim - 2))", "reshape(-1, 1, 1)")),
    },
    right={"channel moved to the end": SWISH_BY_SWAPPING_AXES, "one channel after another": SWISH_BY_CHANNELS},
)

LOSS_BY_LOGADDEXP = """
class SmoothedCrossEntropy(Layer):
    def __init__(self, smoothing=0.0):
        super().__init__()
        self.smoothing = smoothing

    def forward(self, scores, labels):
        self.log_p = scores - np.logaddexp.reduce(scores.astype(float), axis=1)[:, None]
        self.labels = labels
        right = self.log_p[range(len(labels)), labels]
        return np.mean(-(1 - self.smoothing) * right - self.smoothing * self.log_p.mean(1))

    def backward(self, dz_dy=1.0):
        g = np.exp(self.log_p) - self.smoothing / self.log_p.shape[1]
        g[range(len(g)), self.labels] -= 1 - self.smoothing
        return g * dz_dy / len(g)
"""
LOSS_BY_ONE_HOT = """
class SmoothedCrossEntropy(Layer):
    def __init__(self, smoothing=0.0):
        super().__init__()
        self.smoothing = smoothing

    def forward(self, scores, labels):
        n, k = scores.shape
        q = (1 - self.smoothing) * np.eye(k)[labels] + self.smoothing / k
        top = np.max(scores, axis=1, keepdims=True)
        z = 0.0
        self.gradient = np.zeros((n, k))
        for i in range(n):
            log_sum = np.log(np.sum(np.exp(scores[i] - top[i])))
            log_p = scores[i] - top[i] - log_sum
            z -= np.dot(q[i], log_p)
            self.gradient[i] = np.exp(log_p) - q[i]
        return z / n

    def backward(self, dz_dy=1.0):
        return dz_dy * self.gradient / self.gradient.shape[0]
"""
loss = Task(
    wrong={
        "no shift: overflows": Edit(("shifted = scores - scores.max(axis=1, keepdims=True)", "shifted = scores")),
        "subtracts the largest of the batch": Edit(("scores.max(axis=1, keepdims=True)", "scores.max()")),
        "softmax over the examples": Edit(
            ("scores.max(axis=1, keepdims=True)", "scores.max(axis=0, keepdims=True)"),
            ("np.exp(shifted).sum(axis=1, keepdims=True)", "np.exp(shifted).sum(axis=0, keepdims=True)"),
        ),
        "log of p plus a little": Edit(
            (
                "log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))",
                "log_p = np.log(np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True) + 1e-12)",
            )
        ),
        "sum in place of the mean": Edit(("return -(q * log_p).sum() / n", "return -(q * log_p).sum()")),
        "mean over the classes too": Edit(("return -(q * log_p).sum() / n", "return -(q * log_p).mean()")),
        "wrong sign": Edit(("return -(q * log_p)", "return (q * log_p)")),
        "no smoothing": Edit(("self.smoothing / k", "0.0"), ("+= 1 - self.smoothing", "+= 1")),
        "smoothing for the others only": Edit(
            ("self.smoothing / k", "self.smoothing / max(k - 1, 1)"),
            ("labels] += 1 - self.smoothing", "labels] = 1 - self.smoothing"),
        ),
        "right class keeps 1": Edit(("+= 1 - self.smoothing", "+= 1")),
        "gradient without the mean": Edit((" / len(self.p)", "")),
        "q − p": Edit(("self.p - self.q", "self.q - self.p")),
        "gradient of the unsmoothed loss": Edit(
            ("self.p, self.q = np.exp(log_p), q", "self.p, self.q = np.exp(log_p), np.eye(k)[labels]")
        ),
        "forgets dz_dy": Edit(("return dz_dy * (self.p", "return (self.p")),
        "shifts the scores in place": Edit(
            (
                "shifted = scores - scores.max(axis=1, keepdims=True)",
                "scores -= scores.max(axis=1, keepdims=True)\n        shifted = scores",
            )
        ),
        "spoils p in backward": Edit(
            (
                "return dz_dy * (self.p - self.q) / len(self.p)",
                "self.p -= self.q\n        return dz_dy * self.p / len(self.p)",
            )
        ),
        "one loss for each example": Edit(("return -(q * log_p).sum() / n", "return -(q * log_p).sum(axis=1)")),
    },
    right={"logaddexp": LOSS_BY_LOGADDEXP, "row by row": LOSS_BY_ONE_HOT},
)

POOL_BY_LOOPS = """
class MixedPool2d(Layer):
    def __init__(self, kernel, stride, mix=0.5):
        super().__init__()
        self.kernel, self.stride = tuple(kernel), tuple(stride)
        self.w = {"mix": np.array(mix, dtype=float)}

    def places(self):
        (kh, kw), (sh, sw) = self.kernel, self.stride
        for i in range((self.x.shape[2] - kh) // sh + 1):
            for j in range((self.x.shape[3] - kw) // sw + 1):
                yield i, j, slice(i * sh, i * sh + kh), slice(j * sw, j * sw + kw)

    def forward(self, x):
        self.x, m = np.asarray(x, float), float(self.w["mix"])
        (kh, kw), (sh, sw) = self.kernel, self.stride
        y = np.zeros((*x.shape[:2], (x.shape[2] - kh) // sh + 1, (x.shape[3] - kw) // sw + 1))
        for i, j, rows, columns in self.places():
            window = self.x[:, :, rows, columns]
            y[:, :, i, j] = m * window.max(axis=(2, 3)) + (1 - m) * window.mean(axis=(2, 3))
        return y

    def backward(self, dz_dy):
        m, (kh, kw) = float(self.w["mix"]), self.kernel
        dz_dx, dz_dmix = np.zeros(self.x.shape), 0.0
        n, c = self.x.shape[:2]
        for i, j, rows, columns in self.places():
            window = self.x[:, :, rows, columns].reshape(n, c, -1)
            r = dz_dy[:, :, i, j]
            dz_dmix += np.sum(r * (window.max(-1) - window.mean(-1)))
            share = np.full(window.shape, (1 - m) / (kh * kw))
            np.put_along_axis(share, window.argmax(-1)[..., None], m + (1 - m) / (kh * kw), -1)
            dz_dx[:, :, rows, columns] += (share * r[..., None]).reshape(n, c, kh, kw)
        self.dz_dw["mix"] = np.array(dz_dmix)
        return dz_dx
"""
POOL_BY_ADD_AT = """
class MixedPool2d(Layer):
    def __init__(self, kernel, stride, mix=0.5):
        super().__init__()
        self.kernel, self.stride = tuple(kernel), tuple(stride)
        self.w = {"mix": np.array(mix, dtype=float)}

    def forward(self, x):
        (kh, kw), (sh, sw) = self.kernel, self.stride
        numbers = np.arange(x.size).reshape(x.shape)
        self.pixel = sliding_window_view(numbers, (kh, kw), (2, 3))[:, :, ::sh, ::sw].reshape(*x.shape[:2], (x.shape[2] - kh) // sh + 1, (x.shape[3] - kw) // sw + 1, kh * kw)
        self.values, self.shape = x.ravel()[self.pixel].astype(float), x.shape
        return self.w["mix"] * self.values.max(-1) + (1 - self.w["mix"]) * self.values.mean(-1)

    def backward(self, dz_dy):
        flat, m, size = np.zeros(np.prod(self.shape)), self.w["mix"], self.pixel.shape[-1]
        best = np.take_along_axis(self.pixel, self.values.argmax(-1)[..., None], -1)[..., 0]
        np.add.at(flat, best, m * dz_dy)
        np.add.at(flat, self.pixel, np.broadcast_to(((1 - m) / size * dz_dy)[..., None], self.pixel.shape))
        self.dz_dw["mix"] = np.sum(dz_dy * self.values.max(-1)) - np.sum(dz_dy * self.values.mean(-1))
        return flat.reshape(self.shape)
"""
pooling = Task(
    wrong={
        "overlaps overwrite": Edit(("+= dz_dy * share", "= dz_dy * share")),
        "mix exchanged in forward": Edit(("mix * largest + (1 - mix) * mean", "(1 - mix) * largest + mix * mean")),
        "mix exchanged in backward": Edit(
            ("mix * (self.winner == a * kw + b) + (1 - mix)", "(1 - mix) * (self.winner == a * kw + b) + mix")
        ),
        "mean's gradient not divided": Edit(("(1 - mix) / (kh * kw)", "(1 - mix)")),
        "only the maximum comes back": Edit((" + (1 - mix) / (kh * kw)", "")),
        "all ties get the gradient": Edit(
            ("self.winner = flat.argmax(axis=-1)", "self.flat = flat"),
            ("(self.winner == a * kw + b)", "(self.flat[..., a * kw + b] == self.flat.max(-1))"),
        ),
        "the last of the ties wins": Edit(
            ("flat.argmax(axis=-1)  #", "flat.shape[-1] - 1 - flat[..., ::-1].argmax(axis=-1)  #")
        ),
        "the window number read by columns": Edit(("a * kw + b)", "b * kh + a)")),
        "stride rows and columns exchanged": Edit(
            ("(sh, sw), mix = self.stride, self.w", "(sw, sh), mix = self.stride, self.w")
        ),
        "mix's gradient forgets the mean": Edit(
            ("(dz_dy * self.difference).sum()", "(dz_dy * self.largest).sum()"),
            ("self.difference = largest - mean", "self.difference, self.largest = largest - mean, largest"),
        ),
        "mix's gradient is a mean": Edit(("(dz_dy * self.difference).sum()", "(dz_dy * self.difference).mean()")),
        "mix's gradient has the wrong sign": Edit(("largest - mean\n", "mean - largest\n")),
        "one mix gradient for each map": Edit(
            ("(dz_dy * self.difference).sum()", "(dz_dy * self.difference).sum(axis=(0, 2, 3))")
        ),
        "gradient in the dtype of integers": Edit(
            ("dz_dx = np.zeros(self.shape)", "dz_dx = np.zeros(self.shape, dtype=int)"),
            ("+= dz_dy * share", "+= (dz_dy * share).astype(int)"),
        ),
        "shape of the first batch": Edit(("self.shape = x.shape", "self.shape = getattr(self, 'shape', x.shape)")),
        "maximum starts at zero": Edit(("flat.max(axis=-1), flat.mean", "flat.max(axis=-1, initial=0), flat.mean")),
    },
    right={"loop over the windows": POOL_BY_LOOPS, "pixel numbers and add.at": POOL_BY_ADD_AT},
)

CONV_BY_COLUMNS = """
class DilatedConv2d(Layer):
    def __init__(self, weight, bias, stride=(1, 1), padding=(0, 0), dilation=(1, 1)):
        super().__init__()
        self.w = {"weight": np.array(weight, dtype=float), "bias": np.array(bias, dtype=float)}
        self.stride, self.padding, self.dilation = stride, padding, dilation

    def indices(self, x):
        (kh, kw), (sh, sw), (ph, pw), (dh, dw) = self.w["weight"].shape[2:], self.stride, self.padding, self.dilation
        h = (x.shape[2] + 2 * ph - dh * (kh - 1) - 1) // sh + 1
        w = (x.shape[3] + 2 * pw - dw * (kw - 1) - 1) // sw + 1
        rows = sh * np.arange(h)[:, None, None, None] + dh * np.arange(kh)[None, None, :, None]
        columns = sw * np.arange(w)[None, :, None, None] + dw * np.arange(kw)[None, None, None, :]
        return rows, columns

    def forward(self, x):
        (ph, pw) = self.padding
        self.bar = np.zeros((x.shape[0], x.shape[1], x.shape[2] + 2 * ph, x.shape[3] + 2 * pw))
        self.bar[:, :, ph : ph + x.shape[2], pw : pw + x.shape[3]] = x
        self.at, self.size = self.indices(x), x.shape[2:]
        self.columns = self.bar[:, :, self.at[0], self.at[1]]  # (N, S, H', W', kh, kw)
        return np.moveaxis(np.tensordot(self.columns, self.w["weight"], ((1, 4, 5), (1, 2, 3))) + self.w["bias"], -1, 1)

    def backward(self, dz_dy):
        self.dz_dw["weight"] = np.tensordot(dz_dy, self.columns, ((0, 2, 3), (0, 2, 3)))
        self.dz_dw["bias"] = dz_dy.sum((0, 2, 3))
        told = np.moveaxis(np.tensordot(dz_dy, self.w["weight"], (1, 0)), 3, 1)  # (N, S, H', W', kh, kw)
        out = np.zeros(self.bar.shape)
        np.add.at(out, (slice(None), slice(None), *self.at), told)
        (ph, pw), (h, w) = self.padding, self.size
        return out[:, :, ph : ph + h, pw : pw + w]
"""
CONV_BY_POSITIONS = """
class DilatedConv2d(Layer):
    def __init__(self, weight, bias, stride=(1, 1), padding=(0, 0), dilation=(1, 1)):
        super().__init__()
        self.w = {"weight": np.array(weight, dtype=float), "bias": np.array(bias, dtype=float)}
        self.stride, self.padding, self.dilation = stride, padding, dilation

    def forward(self, x):
        weight, (ph, pw), (dh, dw) = self.w["weight"], self.padding, self.dilation
        self.h, self.w_ = x.shape[2:]
        self.bar = np.pad(x, [(0, 0), (0, 0), (ph, ph), (pw, pw)])
        tall, wide = dh * (weight.shape[2] - 1) + 1, dw * (weight.shape[3] - 1) + 1
        self.windows = []
        for top in range(0, self.bar.shape[2] - tall + 1, self.stride[0]):
            row = []
            for left in range(0, self.bar.shape[3] - wide + 1, self.stride[1]):
                row.append((slice(top, top + tall, dh), slice(left, left + wide, dw)))
            self.windows.append(row)
        y = [[np.tensordot(self.bar[:, :, a, b], weight, ((1, 2, 3), (1, 2, 3))) for a, b in row] for row in self.windows]
        return np.array(y).transpose(2, 3, 0, 1) + self.w["bias"].reshape(1, -1, 1, 1)

    def backward(self, dz_dy):
        dz_dbar, g = np.zeros(self.bar.shape), np.zeros(self.w["weight"].shape)
        for i, row in enumerate(self.windows):
            for j, (a, b) in enumerate(row):
                r = dz_dy[:, :, i, j]
                g += np.tensordot(r, self.bar[:, :, a, b], (0, 0))
                dz_dbar[:, :, a, b] += np.tensordot(r, self.w["weight"], (1, 0))
        self.dz_dw = {"weight": g, "bias": dz_dy.sum(3).sum(2).sum(0)}
        (ph, pw) = self.padding
        return dz_dbar[:, :, ph : ph + self.h, pw : pw + self.w_]
"""
convolution = Task(
    wrong={
        "kernel flipped": Edit(("weight[:, :, a, b], self.padded", "weight[:, :, -1 - a, -1 - b], self.padded")),
        "dilation not used": Edit(
            ("weight.shape[2:], self.stride, self.dilation", "weight.shape[2:], self.stride, (1, 1)")
        ),
        "stride not used": Edit(
            ("weight.shape[2:], self.stride, self.dilation", "weight.shape[2:], (1, 1), self.dilation")
        ),
        "stride and dilation exchanged": Edit(
            ("weight.shape[2:], self.stride, self.dilation", "weight.shape[2:], self.dilation, self.stride")
        ),
        "forgets the bias": Edit((' + self.w["bias"][:, None, None]', "")),
        "bias on the last axis": Edit(('self.w["bias"][:, None, None]', 'self.w["bias"]')),
        "stride of rows for both": Edit(
            ("self.stride, self.dilation\n", "(self.stride[0], self.stride[0]), self.dilation\n")
        ),
        "size without dilation": Edit(("dh * (kh - 1) - 1)", "kh)"), ("dw * (kw - 1) - 1)", "kw)")),
        "pads with the edge": Edit(
            ("((0, 0), (0, 0), (ph, ph), (pw, pw)))  #", "((0, 0), (0, 0), (ph, ph), (pw, pw)), mode='edge')  #")
        ),
        "padding of rows for both": Edit(
            ("(pw, pw)))  #", "(ph, ph)))  #"), ("x.shape[3] + 2 * pw", "x.shape[3] + 2 * ph")
        ),
        "padding counted once": Edit(
            ("x.shape[2] + 2 * ph", "x.shape[2] + ph"), ("x.shape[3] + 2 * pw", "x.shape[3] + pw")
        ),
        "overlaps overwrite": Edit(("dz_dpadded[:, :, rows, columns] +=", "dz_dpadded[:, :, rows, columns] =")),
        "padding not cut off": Edit(
            ("return dz_dpadded[:, :, ph : height - ph, pw : width - pw]", "return dz_dpadded")
        ),
        "cut by -p: empty without padding": Edit(
            ("return dz_dpadded[:, :, ph : height - ph, pw : width - pw]", "return dz_dpadded[:, :, ph:-ph, pw:-pw]")
        ),
        "padding cut from one side": Edit(("ph : height - ph, pw : width - pw", ": height - 2 * ph, : width - 2 * pw")),
        "kernel turned in backward": Edit(
            ('"ts,ntij->nsij", weight[:, :, a, b]', '"ts,ntij->nsij", weight[:, :, -1 - a, -1 - b]')
        ),
        "weight gradient is a batch mean": Edit(("dz_dy, seen)", "dz_dy, seen) / len(dz_dy)")),
        "weight gradient from the first example": Edit(
            ('"ntij,nsij->ts", dz_dy, seen', '"ntij,nsij->ts", dz_dy[:1], seen[:1]')
        ),
        "bias summed over the examples only": Edit(("dz_dy.sum(axis=(0, 2, 3))", "dz_dy.sum(axis=0)")),
        "bias gradient averaged over pixels": Edit(
            ("dz_dy.sum(axis=(0, 2, 3))", "dz_dy.mean(axis=(2, 3)).sum(axis=0)")
        ),
        "adds up over batches": Edit(
            (
                "np.zeros(self.padded.shape), np.zeros(weight.shape)",
                "np.zeros(self.padded.shape), self.dz_dw.get('weight', np.zeros(weight.shape))",
            ),
            ("dz_dweight[:, :, a, b] = ", "dz_dweight[:, :, a, b] += "),
        ),
        "padded in float32": Edit(("(ph, ph), (pw, pw)))  #", "(ph, ph), (pw, pw))).astype(np.float32)  #")),
    },
    right={"index arrays and tensordot": CONV_BY_COLUMNS, "window by window": CONV_BY_POSITIONS},
)

NORM_BY_JACOBIAN = """
class RMSNorm(Layer):
    def __init__(self, gain, eps=1e-5):
        super().__init__()
        self.w, self.eps = {"gain": np.array(gain, dtype=float)}, eps

    def forward(self, x):
        self.x = np.array(x, dtype=float)
        return self.w["gain"] * self.x / np.sqrt(np.mean(self.x**2, -1, keepdims=True) + self.eps)

    def backward(self, dz_dy):
        size = self.x.shape[-1]
        rows, r = self.x.reshape(-1, size), dz_dy.reshape(-1, size)
        dz_dx, dz_dgain = np.zeros(rows.shape), np.zeros(size)
        for k, x in enumerate(rows):
            rho = np.sqrt(np.mean(x**2) + self.eps)
            dz_dgain += r[k] * x / rho
            dy_dx = self.w["gain"][:, None] * (np.eye(size) / rho - np.outer(x, x) / (size * rho**3))
            dz_dx[k] = dy_dx.T @ r[k]
        self.dz_dw["gain"] = dz_dgain
        return dz_dx.reshape(self.x.shape)
"""
NORM_BY_UNIT_ROWS = """
class RMSNorm(Layer):
    def __init__(self, gain, eps=1e-5):
        super().__init__()
        self.w, self.eps = {"gain": np.array(gain, dtype=float)}, eps

    def forward(self, x):
        self.inverse = 1 / np.sqrt(np.einsum("...s,...s->...", x, x)[..., None] / x.shape[-1] + self.eps)
        self.u = x * self.inverse
        return self.u * self.w["gain"]

    def backward(self, dz_dy):
        self.dz_dw["gain"] = np.einsum("ms,ms->s", *(a.reshape(-1, a.shape[-1]) for a in (dz_dy, self.u)))
        dz_du = dz_dy * self.w["gain"]
        along = np.mean(dz_du * self.u, axis=-1, keepdims=True)
        return self.inverse * (dz_du - self.u * along)
"""
norm = Task(
    wrong={
        "eps outside the root": Edit(
            (
                "np.sqrt((x**2).mean(axis=-1, keepdims=True) + self.eps)",
                "np.sqrt((x**2).mean(axis=-1, keepdims=True)) + self.eps",
            )
        ),
        "no eps": Edit((" + self.eps)  #", ")  #")),
        "sum of squares": Edit(("(x**2).mean(axis=-1", "(x**2).sum(axis=-1")),
        "mean over the examples": Edit(("(x**2).mean(axis=-1", "(x**2).mean(axis=0")),
        "standard deviation": Edit(
            (
                "np.sqrt((x**2).mean(axis=-1, keepdims=True) + self.eps)",
                "np.sqrt(x.var(axis=-1, keepdims=True) + self.eps)",
            )
        ),
        "forgets keepdims": Edit(("(x**2).mean(axis=-1, keepdims=True)", "(x**2).mean(axis=-1)")),
        "ρ as a constant": Edit((" - x * (r * x).mean(axis=-1, keepdims=True) / rho**3", "")),
        "wrong sign of the second term": Edit(("r / rho - x *", "r / rho + x *")),
        "sum in the second term": Edit(("(r * x).mean(axis=-1", "(r * x).sum(axis=-1")),
        "ρ squared": Edit(("rho**3", "rho**2")),
        "elementwise second term": Edit(("x * (r * x).mean(axis=-1, keepdims=True)", "x * (r * x) / x.shape[-1]")),
        "forgets the gain on the way back": Edit(('r = dz_dy * self.w["gain"]', "r = dz_dy")),
        "gain's gradient of x": Edit(("(dz_dy * x / rho).sum", "(dz_dy * x).sum")),
        "gain's gradient over the first axis only": Edit(("tuple(range(x.ndim - 1))", "0")),
        "gain's gradient is a mean": Edit(("(dz_dy * x / rho).sum", "(dz_dy * x / rho).mean")),
        "normalizes in place": Edit(
            ('return self.w["gain"] * x / self.rho', 'x /= self.rho\n        return self.w["gain"] * x')
        ),
        "mean over the whole batch in backward": Edit(("(r * x).mean(axis=-1, keepdims=True)", "(r * x).mean()")),
    },
    right={"the whole Jacobian": NORM_BY_JACOBIAN, "by the normalized rows": NORM_BY_UNIT_ROWS},
)

CHECKER_BY_ARRAYS = """
def gradient_errors(layer, x, rng, directions=3, step=1e-5):
    x = np.asarray(x).astype(np.float64)
    other = layer.forward(rng.standard_normal(x.shape))
    layer.backward(np.ones_like(other))
    y = layer.forward(x.copy())
    r = rng.standard_normal(y.shape)
    dz_dx = np.copy(layer.backward(r))
    dz_dw = {name: np.copy(value) for name, value in layer.dz_dw.items()}

    def z(at):
        return float((r * layer.forward(at.copy())).sum())

    def error(claimed, above, below):
        measured = (above - below) / (2 * step)
        return abs(measured - claimed) / max(abs(measured) + abs(claimed), 1e-3)

    result = {"x": float("inf")}
    if dz_dx.shape == x.shape and not np.isnan(dz_dx).any():
        found = []
        for _ in range(directions):
            d = rng.standard_normal(x.shape)
            found.append(error((dz_dx * d).sum(), z(x + step * d), z(x - step * d)))
        result["x"] = max(found)
    for name in layer.w:
        result[name] = float("inf")
        if name not in dz_dw or np.shape(dz_dw[name]) != np.shape(layer.w[name]) or np.isnan(dz_dw[name]).any():
            continue
        found, array = [], layer.w[name]
        before = array.copy()
        for _ in range(directions):
            d = rng.standard_normal(array.shape)
            np.copyto(array, before + step * d)
            above = z(x)
            np.copyto(array, before - step * d)
            below = z(x)
            np.copyto(array, before)
            found.append(error((dz_dw[name] * d).sum(), above, below))
        result[name] = max(found)
    return result
"""
CHECKER_FOURTH_ORDER = """
def gradient_errors(layer, x, rng, directions=3, step=1e-5):
    x = np.array(x, float)
    y = layer.forward(rng.uniform(-1, 1, size=x.shape))
    layer.backward(rng.uniform(-1, 1, size=y.shape))
    r = rng.normal(size=y.shape)
    layer.forward(x)
    gradients = {"x": layer.backward(r)}
    gradients.update(layer.dz_dw)
    gradients = {name: np.array(value, float) for name, value in gradients.items()}
    arrays = dict(layer.w, x=x)

    def slope(array, d):
        kept, z = array.copy(), []
        for sign in (1, -1):
            array[...] = kept + sign * step * d
            z.append(np.vdot(r, layer.forward(x)))
        array[...] = kept
        return (z[0] - z[1]) / (2 * step)

    errors = {}
    for name, array in arrays.items():
        g = gradients.get(name, np.nan)
        if np.shape(g) != array.shape or np.isnan(g).any():
            errors[name] = np.inf
            continue
        ds = [rng.normal(size=array.shape) for _ in range(directions)]
        claimed = np.array([np.vdot(g, d) for d in ds])
        measured = np.array([slope(array, d) for d in ds])
        errors[name] = float(np.max(np.abs(claimed - measured) / np.maximum(np.abs(claimed) + np.abs(measured), 1e-3)))
    return errors
"""
checker = Task(
    wrong={
        "one-sided difference": Edit(
            ("place[...] = kept - step * d\n", "place[...] = kept\n"),
            ("(above - below) / (2 * step)", "(above - below) / step"),
        ),
        "divides by the step only": Edit(("(above - below) / (2 * step)", "(above - below) / step")),
        "dz_dy of ones": Edit(
            ("r = rng.normal(size=np.shape(layer.forward(x)))", "r = np.ones(np.shape(layer.forward(x)))")
        ),
        "checks only x": Edit(
            ('{"x": x, **layer.w}.items()', '{"x": x}.items()'),
            ("    return errors\n", "    return {**{name: 0.0 for name in layer.w}, **errors}\n"),
        ),
        "goes through dz_dw": Edit(
            (
                'for name, place in {"x": x, **layer.w}.items():',
                'errors = dict.fromkeys(layer.w, 0.0)\n    for name in claims:\n        place = x if name == "x" else layer.w[name]',
            )
        ),
        "NaN slips through": Edit((" or not np.isfinite(gradient).all()", "")),
        "shapes not compared": Edit((" or gradient.shape != place.shape", "")),
        "replaces the arrays of w": Edit(
            (
                "            place[...] = kept + step * d\n            above = np.sum(r * layer.forward(x))\n            place[...] = kept - step * d\n            below = np.sum(r * layer.forward(x))\n            place[...] = kept\n",
                "            z = []\n            for sign in (1, -1):\n                if name == 'x':\n                    z.append(np.sum(r * layer.forward(kept + sign * step * d)))\n                else:\n                    layer.w[name] = kept + sign * step * d\n                    z.append(np.sum(r * layer.forward(x)))\n                    layer.w[name] = kept\n            above, below = z\n",
            ),
        ),
        "does not put back exactly": Edit(
            ("            place[...] = kept - step * d\n", "            place[...] -= 2 * step * d\n"),
            ("            place[...] = kept\n", "            place[...] += step * d\n"),
        ),
        "does not put back": Edit(("            place[...] = kept\n", "")),
        "stays in float32": Edit(("x = np.array(x, dtype=float)", "x = np.array(x)")),
        "works on x itself": Edit(
            ("x = np.array(x, dtype=float)", "x = np.asarray(x, dtype=float)"),
            ("            place[...] = kept\n", "            if name != 'x': place[...] = kept\n"),
        ),
        "no other batch first": Edit(
            ("    layer.backward(rng.normal(size=np.shape(layer.forward(rng.normal(size=x.shape)))))\n", "")
        ),
        "no floor": Edit(("max(abs(claimed) + abs(measured), 1e-3)", "(abs(claimed) + abs(measured))")),
        "absolute error, loosely": Edit((" / max(abs(claimed) + abs(measured), 1e-3)", " / 1e3")),
        "keeps the smallest error": Edit(
            ("errors[name] = 0.0", "errors[name] = np.inf"),
            ("max(errors[name], float(error))", "min(errors[name], float(error))"),
            ("1e-3)", "1e3)"),
        ),
        "moves one entry only": Edit(
            ("d = rng.normal(size=place.shape)", "d = np.zeros(place.shape)\n            d.flat[0] = 1.0")
        ),
        "entry by entry": Edit(
            (
                "for _ in range(directions):\n            d = rng.normal(size=place.shape)",
                "for k in range(place.size):\n            d = np.zeros(place.shape)\n            d.flat[k] = 1.0",
            )
        ),
        "compares the gradient with itself": Edit(
            (
                "measured, claimed = (above - below) / (2 * step), np.sum(gradient * d)",
                "measured = claimed = np.sum(gradient * d)",
            )
        ),
        "step too small": Edit(
            ("(layer, x, rng, directions=3, step=1e-5):", "(layer, x, rng, directions=3, step=1e-12):")
        ),
        "step too large": Edit(
            ("(layer, x, rng, directions=3, step=1e-5):", "(layer, x, rng, directions=3, step=1e-1):")
        ),
        "one verdict for all": Edit(
            ("    return errors\n", "    return dict.fromkeys(errors, max(errors.values()))\n")
        ),
    },
    right={"x and w apart": CHECKER_BY_ARRAYS, "all directions at once": CHECKER_FOURTH_ORDER},
)

RESIDUAL_BY_LIST = """
class Residual(Layer):
    def __init__(self, *layers):
        super().__init__()
        self.layers = list(layers)

    def forward(self, x):
        values = [np.array(x, dtype=float)]
        for layer in self.layers:
            values.append(layer.forward(values[-1]))
        return values[0] + values[-1]

    def backward(self, dz_dy):
        through = np.array(dz_dy, dtype=float)
        for k in range(len(self.layers) - 1, -1, -1):
            through = self.layers[k].backward(through)
        return through + dz_dy

    def update(self, learning_rate):
        [layer.update(learning_rate) for layer in self.layers]
"""
RESIDUAL_BY_SEQUENTIAL = """
class Residual(Layer):
    def __init__(self, *layers):
        super().__init__()
        self.layers = layers
        self.inside = Sequential(*layers)

    def forward(self, x):
        return np.add(self.inside.forward(x), x)

    def backward(self, dz_dy):
        return np.add(dz_dy, self.inside.backward(dz_dy))

    def update(self, learning_rate):
        self.inside.update(learning_rate)
"""
residual = Task(
    wrong={
        "forgets to add x": Edit(("return x + y", "return y")),
        "forgets the second path back": Edit(("return dz_dy + dz_dx", "return dz_dx")),
        "adds 1 in place of dz_dy": Edit(("return dz_dy + dz_dx", "return 1 + dz_dx")),
        "backward in the forward order": Edit(("reversed(self.layers)", "self.layers")),
        "a shortcut around each layer": Edit(
            ("y = layer.forward(y)", "y = y + layer.forward(y)"), ("return x + y", "return y")
        ),
        "each layer is given dz_dy": Edit(("dz_dx = layer.backward(dz_dx)", "dz_dx = layer.backward(dz_dy)")),
        "each layer is given x": Edit(("y = layer.forward(y)", "y = layer.forward(x)")),
        "adds in place": Edit(("return x + y", "x += y\n        return x")),
        "adds to dz_dy in place": Edit(("return dz_dy + dz_dx", "dz_dy += dz_dx\n        return dz_dy")),
        "updates only the last layer": Edit(
            (
                "for layer in self.layers:\n            layer.update",
                "for layer in self.layers[-1:]:\n            layer.update",
            )
        ),
        "updates none": Edit(
            ("for layer in self.layers:\n            layer.update(learning_rate)", "super().update(learning_rate)")
        ),
    },
    right={"list of values": RESIDUAL_BY_LIST, "on Sequential": RESIDUAL_BY_SEQUENTIAL},
)

TRAIN_BY_SPLIT = """
def train(network, loss, images, labels, *, epochs, batch_size, learning_rate, rng):
    n, history = len(labels), []
    for _ in range(epochs):
        weighted = []
        for batch in np.split(rng.permutation(n), range(batch_size, n, batch_size)):
            scores = network.forward(images[batch])
            weighted.append(loss.forward(scores, labels[batch]) * batch.size)
            dz_dscores = loss.backward()
            network.backward(dz_dscores)
            network.update(learning_rate)
        history += [sum(weighted) / n]
    return history
"""
TRAIN_ON_COPIES = """
def train(network, loss, images, labels, *, epochs, batch_size, learning_rate, rng):
    losses = np.zeros(epochs)
    order = np.arange(len(images))
    for epoch in range(epochs):
        rng.shuffle(order)
        x, t = images[order], labels[order]
        values, sizes = [], []
        while len(x):
            values.append(loss.forward(network.forward(x[:batch_size]), t[:batch_size]))
            sizes.append(len(x[:batch_size]))
            network.backward(loss.backward(1.0))
            network.update(learning_rate)
            x, t = x[batch_size:], t[batch_size:]
        losses[epoch] = np.average(values, weights=sizes)
    return losses.tolist()
"""
training = Task(
    wrong={
        "drops the last batch": Edit(
            ("range(0, len(images), batch_size)", "range(0, len(images) - batch_size + 1, batch_size)")
        ),
        "does not shuffle": Edit(("rng.permutation(len(images))", "np.arange(len(images))")),
        "one order for all epochs": Edit(
            (
                "    losses = []\n    for _ in range(epochs):\n        order = rng.permutation(len(images))\n",
                "    losses = []\n    order = rng.permutation(len(images))\n    for _ in range(epochs):\n",
            )
        ),
        "labels not shuffled": Edit(("labels[batch])", "labels[start : start + batch_size])")),
        "draws with replacement": Edit(("rng.permutation(len(images))", "rng.integers(0, len(images), len(images))")),
        "mean of the batches' means": Edit(
            ("total += z * len(batch)", "total += z"), ("total / len(images)", "total / -(-len(images) // batch_size)")
        ),
        "loss of the last batch": Edit(("losses.append(float(total / len(images)))", "losses.append(float(z))")),
        "sum of the losses": Edit(("float(total / len(images))", "float(total)")),
        "one loss for each step": Edit(
            (
                "            total += z * len(batch)\n        losses.append(float(total / len(images)))\n",
                "            losses.append(float(z))\n",
            )
        ),
        "forgets update": Edit(("            network.update(learning_rate)\n", "")),
        "updates once an epoch": Edit(
            ("            network.update(learning_rate)\n", ""),
            ("        losses.append(", "        network.update(learning_rate)\n        losses.append("),
        ),
        "updates before backward": Edit(
            (
                "            network.backward(loss.backward())\n            network.update(learning_rate)\n",
                "            network.update(learning_rate)\n            network.backward(loss.backward())\n",
            )
        ),
        "backward is given the loss": Edit(("network.backward(loss.backward())", "network.backward(z)")),
        "learning rate divided by the batch": Edit(
            ("network.update(learning_rate)", "network.update(learning_rate / len(batch))")
        ),
        "returns nothing": Edit(("    return losses\n", "")),
        "shuffles the images it was given": Edit(
            (
                "order = rng.permutation(len(images))",
                "order = rng.permutation(len(images))\n        images[:], labels[:] = images[order], labels[order]",
            )
        ),
        "one epoch only": Edit(("    return losses\n", "        break\n    return losses\n")),
    },
    right={"np.split": TRAIN_BY_SPLIT, "shuffled copies": TRAIN_ON_COPIES},
)

TASKS = {
    "linear": linear,
    "swish": swish,
    "loss": loss,
    "pooling": pooling,
    "convolution": convolution,
    "norm": norm,
    "checker": checker,
    "residual": residual,
    "train": training,
}
