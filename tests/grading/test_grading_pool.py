from __future__ import annotations

import operator
import os
import time

import psutil
import pytest

from course_lib.errors import CourseError
from course_lib.grading.pool import Call, Pool


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
