"""The loop: what moves, what is reported, and that a run survives being killed."""

import math
import multiprocessing
import os
import random
import signal
import threading
import time

import pytest
import torch
from torch import nn

from course_lib.data import Batches
from course_lib.errors import CourseError
from course_lib.loop import descend, fit, in_parallel, iterate, load_system_state, system_state, write_atomically


class Line:
    """A system small enough to follow by hand: fits y = w·x, with noise drawn from two generators."""

    def __init__(self, seed=0):
        torch.manual_seed(seed)
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 1))
        self.opt = torch.optim.Adam(self.net.parameters(), 1e-2)
        self.generator = torch.Generator().manual_seed(seed)
        self.calls = 0

    def step(self, batch):
        (x,) = batch
        self.calls += 1
        noise = 0.1 * torch.randn(len(x), 1, generator=self.generator)
        loss = descend(self.opt, ((self.net(x) - x.sum(1, keepdim=True) + noise) ** 2).mean())
        return {"loss": loss, "calls": self.calls}


def data(size=4):
    return Batches(torch.randn(22, 3, generator=torch.Generator().manual_seed(1)), size=size, seed=3)


def test_descend_moves_its_parameters_and_touches_no_other_gradient():
    mine, other = nn.Linear(2, 2), nn.Linear(2, 2)
    other.weight.grad = torch.full((2, 2), 7.0)
    before = [p.detach().clone() for p in (*mine.parameters(), *other.parameters())]
    loss = descend(torch.optim.SGD(mine.parameters(), 0.1), other(mine(torch.randn(5, 2))).square().mean())
    assert not loss.requires_grad
    assert not torch.equal(mine.weight, before[0])
    assert torch.equal(other.weight, before[2])
    assert torch.equal(other.bias, before[3])
    assert torch.equal(other.weight.grad, torch.full((2, 2), 7.0))


def test_descend_equals_the_plain_three_lines():
    a, b = nn.Linear(3, 1), nn.Linear(3, 1)
    b.load_state_dict(a.state_dict())
    x = torch.randn(6, 3)
    opt_a, opt_b = torch.optim.Adam(a.parameters()), torch.optim.Adam(b.parameters())
    for _ in range(3):
        descend(opt_a, a(x).square().mean())
        opt_b.zero_grad()
        b(x).square().mean().backward()
        opt_b.step()
    assert torch.equal(a.weight, b.weight)


def test_descend_clips_the_whole_gradient():
    net = nn.Linear(4, 1)
    before = net.weight.detach().clone(), net.bias.detach().clone()
    descend(torch.optim.SGD(net.parameters(), 1.0), 1e3 * net(torch.ones(2, 4)).sum(), clip=0.5)
    moved = torch.cat([(net.weight - before[0]).flatten(), net.bias - before[1]])
    assert moved.norm().item() == pytest.approx(0.5, rel=1e-4)


def test_reports_are_means_and_the_last_partial_window_is_flushed():
    class Counter:
        n = 0

        def step(self, batch):
            self.n += 1
            return {"on_device": torch.tensor(float(self.n)), "on_host": 10 * self.n}

    reports = list(iterate(Counter().step, [0, 1, 2], 8, every=3, progress=False))
    assert [i for i, _ in reports] == [3, 6, 8]
    assert [m["on_device"] for _, m in reports] == [2, 5, 7.5]
    assert [m["on_host"] for _, m in reports] == [20, 50, 75]


def test_zero_steps_do_nothing():
    assert list(iterate(Line().step, data(), 0, progress=False)) == []


def test_fit_returns_one_list_per_metric():
    curves = fit(Line().step, data(), 10, every=4, progress=False)
    assert curves["step"] == [4, 8, 10]
    assert len(curves["loss"]) == 3
    assert curves["loss"][-1] > 0


def test_one_synchronisation_per_report(monkeypatch):
    waits = []
    original = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self, *a: (waits.append(1), original(self, *a))[1])
    monkeypatch.setattr(torch.Tensor, "item", lambda self: pytest.fail("a step read a number from the device"))

    class Plain:
        def __init__(self):
            self.net = nn.Linear(3, 1)
            self.opt = torch.optim.SGD(self.net.parameters(), 1e-2)

        def step(self, batch):
            return {"loss": descend(self.opt, self.net(batch[0]).square().mean())}

    list(iterate(Plain().step, data(), 100, every=20, progress=False))
    assert len(waits) == 5


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_number_names_system_step_and_metric(bad):
    class Diverges:
        n = 0

        def step(self, batch):
            self.n += 1
            return {"fine": torch.tensor(1.0), "critic": torch.tensor(bad if self.n >= 7 else 1.0)}

    with pytest.raises(CourseError, match=r"Diverges: the metric 'critic' became (nan|inf) at step 7"):
        list(iterate(Diverges().step, [0], 20, every=5, progress=False))


def test_one_sentence_for_what_can_go_wrong():
    with pytest.raises(CourseError, match="ran out after 3 of 5"):
        list(iterate(Line().step, ((torch.randn(4, 3),) for _ in range(3)), 5, progress=False))
    with pytest.raises(CourseError, match="take its mean"):
        list(iterate(lambda b: {"loss": torch.zeros(3)}, [0], 5, progress=False))
    names = iter("ab")
    with pytest.raises(CourseError, match="the same ones at every step"):
        list(iterate(lambda b: {next(names): torch.zeros(())}, [0], 2, every=2, progress=False))
    with pytest.raises(CourseError, match="bound method"):
        list(iterate(lambda b: {}, data(), 5, progress=False, checkpoint="x.pt"))
    with pytest.raises(CourseError, match=r"course_lib\.data\.Batches"):
        list(iterate(Line().step, [(torch.randn(2, 3),)], 5, progress=False, checkpoint="x.pt"))


def test_state_of_a_system_goes_out_and_in():
    a, b = Line(0), Line(1)
    fit(a.step, data(), 5, progress=False)
    load_system_state(b, system_state(a))
    assert b.calls == 5
    assert all(torch.equal(p, q) for p, q in zip(a.net.parameters(), b.net.parameters(), strict=True))
    torch.manual_seed(9)
    first = fit(a.step, data(), 5, progress=False)
    torch.manual_seed(9)
    assert fit(b.step, data(), 5, progress=False) == first


def test_state_of_another_system_is_refused():
    other = Line()
    other.net = nn.Linear(3, 1)
    with pytest.raises(CourseError, match=r"does not fit Line\.net"):
        load_system_state(other, system_state(Line()))
    other.extra = nn.Linear(1, 1)
    with pytest.raises(CourseError, match=r"other parts than this Line .*extra"):
        load_system_state(other, system_state(Line()))


def run(path, steps, stop_after=None, *, every=3):
    """Train, drawing random numbers in the loop body too; returns the system and everything reported."""
    line, batches, history = Line(), data(), []
    torch.manual_seed(5)
    for i, _ in iterate(
        line.step, batches, steps, every=every, progress=False, checkpoint=path, checkpoint_seconds=0, history=history
    ):
        torch.randn(3)  # a body that samples
        if stop_after is not None and i >= stop_after:
            raise KeyboardInterrupt
    return line, history


@pytest.mark.parametrize("stop", [3, 6, 15, 18])
def test_an_interrupted_run_resumes_bit_by_bit(tmp_path, stop):
    whole, history = run(tmp_path / "whole.pt", 20)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut.pt", 20, stop_after=stop)
    resumed, again = run(tmp_path / "cut.pt", 20)
    assert again == history
    assert resumed.calls == whole.calls == 20
    assert all(torch.equal(p, q) for p, q in zip(whole.net.parameters(), resumed.net.parameters(), strict=True))


def test_a_finished_run_is_restored_without_a_step(tmp_path, capsys):
    whole, history = run(tmp_path / "c.pt", 20)
    again, same = run(tmp_path / "c.pt", 20)
    assert same == history
    assert torch.equal(again.net[0].weight, whole.net[0].weight)
    assert "resumed after step 20" in capsys.readouterr().out


def test_a_run_killed_at_any_moment_ends_as_if_it_had_not_been(tmp_path):
    """SIGKILL at random moments, some of them while the checkpoint is being written."""
    path, result = tmp_path / "run.pt", tmp_path / "result.pt"

    def train():
        line, history = run(path, 400, every=1)
        torch.save([line.net.state_dict(), history, line.calls], result)

    context, rng, kills = multiprocessing.get_context("fork"), random.Random(0), 0
    while not result.exists():
        process = context.Process(target=train)
        process.start()
        process.join(timeout=rng.uniform(0.02, 0.4) if kills < 10 else 60)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
    assert kills >= 5, "the run ended before it could be killed; make it longer"
    weights, history, calls = torch.load(result, weights_only=True)
    whole, expected = run(tmp_path / "undisturbed.pt", 400, every=1)
    assert calls == whole.calls == 400
    assert [(i, dict(m)) for i, m in history] == expected
    for key, value in whole.net.state_dict().items():
        assert torch.equal(value, weights[key]), key


def test_a_corrupt_checkpoint_is_one_sentence_and_stays(tmp_path):
    path = tmp_path / "c.pt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(CourseError, match="is damaged or not a checkpoint of the course; delete it"):
        run(path, 20)
    assert path.read_bytes() == b"not a checkpoint"


def test_a_checkpoint_cut_short_is_damaged(tmp_path):
    path = tmp_path / "c.pt"
    run(path, 6)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CourseError, match="damaged"):
        run(path, 20)


def test_a_checkpoint_of_another_system_is_refused(tmp_path):
    class Other(Line):
        pass

    run(tmp_path / "c.pt", 6)
    with pytest.raises(CourseError, match="was made by Line, not Other"):
        list(iterate(Other().step, data(), 9, progress=False, checkpoint=tmp_path / "c.pt"))


def test_a_full_disk_is_one_sentence_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "c.pt"
    path.write_bytes(b"old")

    def full(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(CourseError, match=r"Could not write .*No space left on device.*free some disk space"):
        write_atomically(path, full)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_torch_save_on_a_full_disk_is_the_same_sentence(tmp_path):
    def write(_):
        with open("/dev/full", "wb") as full:
            torch.save({"x": torch.zeros(100_000)}, full)

    with pytest.raises(CourseError, match="free some disk space"):
        write_atomically(tmp_path / "c.pt", write)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="choose another folder"):
        write_atomically(tmp_path / "file" / "c.pt", lambda f: f.write(b"x"))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_batches_are_moved_to_the_systems_device():
    class OnGPU:
        device = torch.device("cuda")

        def step(self, batch):
            assert batch[0]["x"].device.type == "cuda"
            return {"mean": batch[0]["x"].mean()}

    fit(OnGPU().step, [({"x": torch.zeros(3)},)], 3, progress=False)


def test_metrics_of_many_steps_keep_their_precision():
    class Constant:
        def step(self, batch):
            return {"pi": torch.tensor(math.pi, dtype=torch.float64)}

    assert fit(Constant().step, [0], 1000, every=1000, progress=False)["pi"][0] == pytest.approx(math.pi, abs=1e-6)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def interruptible():
    """Ctrl-C raises KeyboardInterrupt, whatever the parent of this process had set."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def trained(seed, steps=30):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 1)).double()

    def job():
        optimizer = torch.optim.Adam(net.parameters(), 1e-2)
        batches = Batches(torch.randn(22, 3, generator=torch.Generator().manual_seed(1)).double(), size=4, seed=seed)
        for _, (x,) in zip(range(steps), batches, strict=False):
            loss = descend(optimizer, (net(x) - x.sum(1, keepdim=True)).square().mean())
        return loss.item()

    return job


def test_jobs_in_parallel_give_what_they_give_alone(two_threads):
    alone = [trained(seed)() for seed in range(5)]
    assert len(set(alone)) == 5
    assert in_parallel(*[trained(seed) for seed in range(5)]) == alone
    assert in_parallel() == []


def test_jobs_in_parallel_share_the_threads(two_threads):
    meeting = threading.Barrier(2, timeout=20)  # broken unless both are there at once
    assert in_parallel(*[lambda: (meeting.wait() >= 0, torch.get_num_threads())] * 2) == [(True, 1)] * 2
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("threads", "device"), [(1, "cpu"), (2, "cuda")])
def test_with_one_thread_or_a_gpu_jobs_run_one_after_the_other(two_threads, threads, device):
    torch.set_num_threads(threads)
    here = threading.get_ident()
    assert in_parallel(*[threading.get_ident] * 3, device=device) == [here] * 3


def test_a_job_that_fails_stops_the_others(two_threads):
    counted, started = [], threading.Event()

    def endless():
        while True:
            started.set()
            time.sleep(0.001)
            counted.append(1)

    def fails():
        started.wait(20)
        raise CourseError("No such net.")

    with pytest.raises(CourseError, match="No such net"):
        in_parallel(endless, fails, endless)
    before = len(counted)
    time.sleep(0.05)
    assert len(counted) == before
    assert torch.get_num_threads() == 2


def test_an_interrupt_reaches_every_job(two_threads, interruptible):
    ended, begun = [], threading.Barrier(2, timeout=20)

    def endless():
        try:
            if begun.wait() == 0:
                os.kill(os.getpid(), signal.SIGINT)
            while True:
                time.sleep(0.001)
        finally:
            ended.append(1)

    with pytest.raises(KeyboardInterrupt):
        in_parallel(endless, endless)
    assert len(ended) == 2
