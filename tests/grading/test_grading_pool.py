from __future__ import annotations

import operator
import os
import signal
import time

import psutil
import pytest

from course_lib.errors import CourseError
from course_lib.grading.pool import TRIES, Call, Pool


def test_a_death_a_hang_and_an_exception_harm_nobody_else(tmp_path):
    calls = [
        Call("fine", operator.truediv, (6, 3)),
        Call("dies", os._exit, (1,)),
        Call("hangs", time.sleep, (600,)),
        Call("raises", operator.truediv, (1, 0)),
        Call("also fine", operator.truediv, (1, 4)),
    ]
    started = time.monotonic()
    with Pool(2, tmp_path, limit=4) as pool:
        answers = {answer.key: answer for answer in pool.run(calls)}
        assert pool.ask(operator.add, 1, 2) == 3
        with pytest.raises(CourseError, match="ZeroDivisionError"):
            pool.ask(operator.truediv, 1, 0)
    assert time.monotonic() - started < 120
    assert {key for key, answer in answers.items() if not answer.error} == {"fine", "also fine"}
    assert answers["fine"].value == 2
    assert "was killed" in answers["dies"].error
    assert "more than 4 seconds" in answers["hangs"].error
    assert "ZeroDivisionError" in answers["raises"].error


def test_workers_have_one_thread_and_leave_no_process(tmp_path):
    with Pool(1, tmp_path, limit=60) as pool:
        assert pool.ask(os.getenv, "OMP_NUM_THREADS") == "1"
        assert pool.ask(os.getenv, "COURSE_HEADLESS") == "1"
        worker = pool.ask(os.getpid)
        assert worker != os.getpid()
    assert not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE


def test_what_a_killed_call_had_started_is_killed_with_it(tmp_path):
    flag = tmp_path / "pid"
    with Pool(1, tmp_path, limit=3) as pool:
        answers = list(pool.run([Call(0, os.system, (f"echo $$ > {flag}; exec sleep 600",))]))
    assert "more than 3 seconds" in answers[0].error
    pid = int(flag.read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def killed_at_first(times: int, counter: str) -> int:
    """Is killed so many times, then answers how often it was called."""
    with open(counter, "ab") as file:
        file.write(b".")
    calls = os.path.getsize(counter)
    if calls <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return calls


def test_a_call_whose_process_is_killed_is_made_again_but_not_for_ever(tmp_path):
    with Pool(1, tmp_path, limit=60) as pool:
        calls = [Call(k, killed_at_first, (k, str(tmp_path / f"counter-{k}"))) for k in (0, 1, TRIES - 1, TRIES)]
        answers = {answer.key: answer for answer in pool.run(calls)}
        assert pool.ask(operator.add, 1, 2) == 3
    assert {key: answer.value for key, answer in answers.items()} == {0: 1, 1: 2, TRIES - 1: TRIES, TRIES: None}
    assert answers[TRIES].error == f"the process that worked on it was killed {TRIES} times"


def test_an_idle_process_that_was_killed_is_replaced(tmp_path):
    with Pool(1, tmp_path, limit=60) as pool:
        process = pool.ask(os.getpid)
        os.kill(process, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(process)] if psutil.pid_exists(process) else [], timeout=0.2)
        assert pool.ask(os.getpid) != process


def test_calls_are_taken_as_they_are_needed(tmp_path):
    """A thousand submissions need not be in memory at once."""
    taken = []

    def calls():
        for k in range(20):
            taken.append(k)
            yield Call(k, operator.neg, (k,))

    with Pool(2, tmp_path, limit=60) as pool:
        for number, _ in enumerate(pool.run(calls()), start=1):
            assert len(taken) <= number + 3  # two at work, and one answered at the same moment as this
    assert len(taken) == 20
