"""`course doctor`: every finding it can make, and its exit status."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
import torch

from course_lib import doctor

ASKED = [
    "numpy>=1.26",
    "torch>=2.6",
    "nbgrader>=0.9.5; extra == 'instructor'",
    "course_lib[instructor]; extra == 'dev'",
]


def installed(**known: str):
    def version_of(name: str) -> str:
        if name not in known:
            raise metadata.PackageNotFoundError(name)
        return known[name]

    return version_of


def test_versions_are_compared_with_their_bounds():
    found = list(doctor.versions(ASKED, installed(numpy="1.25.2", torch="2.6.0+cu124")))
    assert [(finding.level, finding.subject) for finding in found] == [("bad", "numpy"), ("good", "torch")]
    assert found[0].text == "is 1.25.2; the course needs >=1.26: pip install 'numpy>=1.26'"


def test_a_missing_package_is_bad_unless_only_an_extra_asks_for_it():
    found = list(doctor.versions(ASKED, installed(numpy="2.0.2")))
    assert [(finding.level, finding.subject) for finding in found] == [("good", "numpy"), ("bad", "torch")]
    assert "pip install 'torch>=2.6'" in found[1].text


def test_an_extra_that_is_there_but_too_old_is_bad():
    found = list(doctor.versions(ASKED, installed(numpy="2.0.2", torch="2.9.0", nbgrader="0.9.1")))
    assert [finding.level for finding in found] == ["good", "good", "bad"]


def test_a_cuda_build_without_a_gpu_is_explained(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    assert "built for CUDA 13.2" in next(doctor.device()).text
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA" in next(doctor.device()).text


@pytest.mark.parametrize(
    ("threads", "cores", "limit", "level", "words"),
    [
        (8, 8, None, "good", "8 for torch, on 8 cores"),
        (1, 8, "1", "note", "OMP_NUM_THREADS=1 holds it back"),
        (4, 8, None, "note", "fewer than there are"),
        (16, 8, None, "note", "more than there are"),
        (2, 2, None, "note", "smoke budget"),
    ],
)
def test_threads(monkeypatch, threads, cores, limit, level, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(doctor, "_cores", lambda: cores)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if limit:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
    found = list(doctor.device())[-1]
    assert found.level == level and words in found.text


@pytest.mark.parametrize(
    ("version", "level"), [("7.7.1", "good"), ("8.1.9", "good"), ("9.0.0", "note"), ("6.0", "note")]
)
def test_widgets(version, level):
    (finding,) = doctor.widgets(installed(ipywidgets=version))
    assert finding.level == level and version in finding.text
    (finding,) = doctor.widgets(installed())
    assert finding.level == "note"


def test_storage_counts_what_is_there_and_what_is_free(tmp_path):
    data = tmp_path / "data"
    findings = list(doctor.storage(data, free=lambda path: 100.0))
    assert [finding.level for finding in findings] == ["good"] * 3 and "nothing downloaded" in findings[0].text
    assert not data.exists()  # looking creates nothing
    (data / "mnist").mkdir(parents=True)
    (data / "mnist/train").write_bytes(bytes(3 * 2**20))
    assert "(1 files, 3 MB)" in next(doctor.storage(data)).text
    assert [finding.level for finding in doctor.storage(data, free=lambda path: 1.5)][1:] == ["note", "note"]
    assert [finding.level for finding in doctor.storage(data, free=lambda path: 0.1)][1:] == ["bad", "bad"]


def test_a_file_in_place_of_the_data_folder_is_bad(tmp_path):
    (tmp_path / "data").write_text("")
    finding = next(doctor.storage(tmp_path / "data"))
    assert finding.level == "bad" and "COURSE_DATA" in finding.text


def test_the_data_folder_is_the_one_the_course_uses(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "elsewhere"))
    assert str(tmp_path / "elsewhere") in next(doctor.storage()).text


@pytest.mark.parametrize(
    ("level", "status", "words"), [("good", 0, "works here"), ("note", 0, "1 to note"), ("bad", 1, "1 thing must")]
)
def test_the_exit_status(monkeypatch, capsys, level, status, words):
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Finding(level, "something", "is [so]")])
    assert doctor.doctor_command() == status
    out = capsys.readouterr().out
    assert words in out and "is [so]" in out


def test_this_environment_is_examined_whole():
    subjects = {finding.subject for finding in doctor.examine()}
    assert {"Python", "torch", "numpy", "GPU", "threads", "explorers", "data"} <= subjects
    assert Path.cwd().exists()


def test_a_machine_without_a_sandbox_is_told_how_to_get_one(monkeypatch):
    pytest.importorskip("nbgrader")
    from course_lib.grading.sandbox import box

    monkeypatch.setattr(box.shutil, "which", lambda name: None)
    (finding,) = doctor.sandbox()
    assert finding.level == "note"
    assert "apt install bubblewrap" in finding.text


def test_students_are_told_nothing_of_a_sandbox(monkeypatch):
    monkeypatch.setattr(doctor.metadata, "version", installed())
    assert list(doctor.sandbox()) == []
