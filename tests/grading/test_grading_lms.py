"""Names, numbers and attempts from what Canvas, Moodle, Blackboard and nbgrader give; ZIP files; rosters."""

from __future__ import annotations

import os
import unicodedata
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from course_lib.errors import CourseError
from course_lib.grading import lms
from course_lib.grading.late import Policy, Rule
from course_lib.grading.lms import Person, Roster, as_student, is_student, opened, read_path, read_roster
from course_lib.grading.submissions import collect

NAME = "ps01_backprop"
KNOWN = ["ps01_backprop", "ps02_nets"]


def put(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("{}")
    return folder


def told(folder: Path, wanted=(NAME,), **options):
    """What `collect` finds: ({(student, problem set): file name}, {refused: reason})."""
    found, refused = collect(folder, KNOWN, list(wanted), **options)
    return {(s.student, s.assignment): s.path.name for s in found}, {r.name: r.reason for r in refused}


CASES = {
    "canvas": (f"lovelaceada_4711_990_{NAME}.ipynb", ("canvas", "lovelaceada-4711", NAME, "4711", False)),
    "canvas, late": (f"lovelaceada_LATE_4711_990_{NAME}.ipynb", ("canvas", "lovelaceada-4711", NAME, "4711", True)),
    "canvas, again": (f"lovelaceada_4711_990_{NAME}-2.ipynb", ("canvas", "lovelaceada-4711", NAME, "4711", False)),
    "canvas, own title": (
        "lovelaceada_4711_990_My Homework.ipynb",
        ("canvas", "lovelaceada-4711", NAME, "4711", False),
    ),
    "canvas, other set": ("lovelaceada_4711_990_PS02-Nets final.ipynb", ("canvas", "lovelaceada-4711", "ps02_nets")),
    "canvas, anonymous": (f"anon_aB3dE_990_{NAME}.ipynb", ("canvas", "anon-aB3dE", NAME, "", False)),
    "canvas, anonymous, late": (f"LATE_anon_aB3dE_990_{NAME}.ipynb", ("canvas", "anon-aB3dE", NAME, "", True)),
    "canvas, marks": (f"gödelkurt_7_8_{NAME}.ipynb", ("canvas", "gödelkurt-7", NAME, "7", False)),
    "moodle": (f"Ada Lovelace_12345_assignsubmission_file/{NAME}.ipynb", ("moodle", "Ada Lovelace", NAME, "12345")),
    "moodle, older": (f"Ada Lovelace_12345_assignsubmission_file_/{NAME}.ipynb", ("moodle", "Ada Lovelace", NAME)),
    "moodle, subfolder": ("Ada Lovelace_12345_assignsubmission_file/a/b/x.ipynb", ("moodle", "Ada Lovelace", NAME)),
    "moodle, flat": (f"Ada Lovelace_12345_assignsubmission_file_{NAME}.ipynb", ("moodle", "Ada Lovelace", NAME)),
    "moodle, comma": (f"O'Neil, Zoë_9_assignsubmission_file_/{NAME}.ipynb", ("moodle", "ONeil Zoë", NAME, "9")),
    "moodle, script": (f"अदिति राव_9_assignsubmission_file_/{NAME}.ipynb", ("moodle", "अदिति राव", NAME, "9")),
    "moodle, no letters": (f"🦊_9_assignsubmission_file_/{NAME}.ipynb", ("moodle", "participant 9", NAME, "9")),
    "moodle, blind": (f"Participant_77_assignsubmission_file_/{NAME}.ipynb", ("moodle", "Participant", NAME, "77")),
    "blackboard": (
        f"ps1_bitdiddle_attempt_2016-01-30-15-00-00_{NAME}.ipynb",
        ("blackboard", "bitdiddle", NAME, "bitdiddle"),
    ),
    "nbgrader": (f"ada/{NAME}/{NAME}.ipynb", ("plain", "ada", NAME, "")),
    "plain": (f"ada/{NAME}.ipynb", ("plain", "ada", NAME)),
    "plain, a browser's copy": (f"ada/{NAME} (1).ipynb", ("plain", "ada", NAME)),
    "plain, flat": (f"ada_{NAME}.ipynb", ("plain", "ada", NAME)),
    "plain, other title": ("ada/homework.ipynb", ("plain", None, None)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_path_tells_whose_it_is(case):
    path, wanted = CASES[case]
    found = read_path(path.split("/"), KNOWN, [NAME])
    assert (found.system, found.student, found.assignment, found.lms_id, found.late)[: len(wanted)] == wanted
    assert found.student is None or is_student(found.student)


IMPOSTORS = {
    "canvas, titled as from blackboard": (f"eve_12_99_x_ada_attempt_2030-01-01-00-00-00_{NAME}.ipynb", None),
    "canvas, titled as from moodle": (f"eve_12_99_Ada_7_assignsubmission_file_{NAME}.ipynb", "eve-12"),
    "canvas, titled as from canvas": (f"eve_12_99_ada_7_8_{NAME}.ipynb", "eve-12"),
    "moodle, titled as from moodle": (f"Eve_12_assignsubmission_file_Ada_7_assignsubmission_file_{NAME}.ipynb", "Eve"),
    "moodle, titled as from canvas": (f"Eve_12_assignsubmission_file_ada_7_8_{NAME}.ipynb", "Eve"),
    "moodle, a folder in the folder": (
        f"Eve_12_assignsubmission_file_/Ada_7_assignsubmission_file_/{NAME}.ipynb",
        "Eve",
    ),
    "moodle, a student's folder": (f"Eve_12_assignsubmission_file_/ada/{NAME}.ipynb", "Eve"),
    "a student's folder, titled as from canvas": (f"eve/ada_7_8_{NAME}.ipynb", None),
    "a student's folder, as from moodle": (f"eve/Ada_7_assignsubmission_file_/{NAME}.ipynb", None),
}


@pytest.mark.parametrize("case", IMPOSTORS)
def test_no_title_makes_a_submission_that_of_somebody_else(case):
    path, student = IMPOSTORS[case]
    assert read_path(path.split("/"), KNOWN, [NAME]).student == student


PIECES = st.sampled_from(
    [
        "_",
        "LATE",
        "7",
        "12345678901234567890",
        "assignsubmission",
        "file",
        "attempt",
        "anon",
        NAME,
        "2026-02-31-25-00-00",
    ]
)


@given(st.lists(st.lists(PIECES | st.text(max_size=5), max_size=8).map("_".join), min_size=1, max_size=3))
@example(["x_ada_attempt_2026-02-31-25-00-00_y"])
@example(["", NAME])  # a folder without a name, as "//" in a ZIP has
def test_no_name_of_a_file_is_an_error(parts):
    found = read_path([*parts[:-1], f"{parts[-1]}.ipynb"], KNOWN, [NAME])
    assert found.assignment in (None, *KNOWN)
    assert found.student is None or found.student != ""


def test_a_timestamp_that_a_student_handed_in_tells_no_time(tmp_path):
    put(tmp_path, f"Eve_12_assignsubmission_file_/{NAME}.ipynb", f"ada/{NAME}.ipynb")
    for folder in ("Eve_12_assignsubmission_file_", "ada"):
        (tmp_path / folder / "timestamp.txt").write_text("2020-01-01 00:00:00 UTC")
    found = {s.student: s.submitted for s in collect(tmp_path, KNOWN, [NAME])[0]}
    assert found["Eve"] is None
    assert found["ada"] == datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["soon", "0001-01-01 00:00:00 UTC", "9999-12-31", "2026-13-01", "a b c d", "1 2 3"])
def test_what_is_no_time_is_no_time(text):
    with pytest.raises(ValueError, match=r".+"):
        lms.timestamp(text)


def test_a_title_of_ones_own_is_taken_for_the_only_set_that_is_graded_but_not_for_one_of_two(tmp_path):
    put(tmp_path, "lovelaceada_4711_990_homework.ipynb")
    assert told(tmp_path)[0] == {("lovelaceada-4711", NAME): "lovelaceada_4711_990_homework.ipynb"}
    found, refused = told(tmp_path, KNOWN)
    assert not found
    assert "--assignment" in refused["lovelaceada_4711_990_homework.ipynb"]


def test_names_decomposed_by_a_mac_are_the_same_names():
    path = unicodedata.normalize("NFD", f"Zoë Müller_5_assignsubmission_file_/{NAME}.ipynb")
    assert read_path(path.split("/"), KNOWN, [NAME]).student == "Zoë Müller"


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("  Ada   Lovelace ", "Ada Lovelace"),
        ("../../etc/passwd", "etcpasswd"),
        ("=cmd|' /C calc'!A0", "cmd C calcA0"),
        ("-rf", "rf"),
        ("Ada\u202egpj.exe", "Adagpj.exe"),
        ("Ada.", "Ada"),
        ("名前" * 60, "名前" * 25),
        ("''", ""),
    ],
)
def test_a_name_becomes_a_student_or_nothing(name, student):
    assert as_student(name) == student
    assert not student or is_student(student)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "=1", "-a", " a", "a ", "a.", "a\nb", "a" * 151, "_a"])
def test_what_cannot_be_a_folder_a_row_and_a_field_is_no_student(name):
    assert not is_student(name)


def test_a_download_one_folder_too_deep_is_told_so(tmp_path):
    put(tmp_path, f"download/lovelaceada_4711_990_{NAME}.ipynb")
    assert "give the folder in which" in told(tmp_path)[1][f"download/lovelaceada_4711_990_{NAME}.ipynb"]


def test_attempts_count_by_what_canvas_says_was_uploaded_later(tmp_path):
    put(tmp_path, f"a_7_1000_{NAME}.ipynb", f"a_LATE_7_999_{NAME}-1.ipynb", f"b_8_5_{NAME}.ipynb")
    found, _ = collect(tmp_path, KNOWN, [NAME])
    assert [(s.student, s.path.name, s.attempt, s.attempts) for s in found] == [
        ("a-7", f"a_7_1000_{NAME}.ipynb", 2, 2),
        ("b-8", f"b_8_5_{NAME}.ipynb", 1, 1),
    ]
    best = Policy(rules={NAME: Rule(counts="best")})
    assert [s.attempt for s in collect(tmp_path, KNOWN, [NAME], policy=best)[0]] == [1, 2, 1]
    first = Policy(rules={NAME: Rule(attempts=1)})
    assert collect(tmp_path, KNOWN, [NAME], policy=first)[0][0].path.name == f"a_LATE_7_999_{NAME}-1.ipynb"


def test_attempts_are_in_the_order_of_their_timestamps(tmp_path):
    put(tmp_path, f"ada/{NAME}.ipynb", f"ada/{NAME}/{NAME}.ipynb")
    (tmp_path / "ada/timestamp.txt").write_text("2026-02-02 15:58:23.948203 America/Los_Angeles\n")
    (tmp_path / "ada" / NAME / "timestamp.txt").write_text("2026-02-02 22:00:00 UTC")
    (only,), refused = collect(tmp_path, KNOWN, [NAME])
    assert not refused
    assert (only.path.parent.name, only.attempt, only.attempts) == ("ada", 2, 2)
    assert only.submitted == datetime(2026, 2, 2, 23, 58, 23, 948203, UTC)
    (tmp_path / "ada/timestamp.txt").write_text("last week")
    _, refused = collect(tmp_path, KNOWN, [NAME])
    assert "there 2 times" in refused[0].reason


def test_without_an_order_the_one_with_the_right_title_counts_and_the_other_is_told_of(tmp_path):
    moodle = "Ada Lovelace_12_assignsubmission_file_"
    put(tmp_path, f"{moodle}/{NAME}.ipynb", f"{moodle}/scratch.ipynb")
    (only,), refused = collect(tmp_path, KNOWN, [NAME])
    assert not refused
    assert only.path.name == f"{NAME}.ipynb"
    assert "scratch.ipynb" in only.notes[0]
    put(tmp_path, "Bob_13_assignsubmission_file_/a.ipynb", "Bob_13_assignsubmission_file_/b.ipynb")
    assert "there 2 times" in told(tmp_path)[1][f"Bob, {NAME}"]


def test_people_who_share_a_name_are_told_apart(tmp_path):
    put(tmp_path, *(f"Ada Lovelace_{n}_assignsubmission_file_/{NAME}.ipynb" for n in (12, 13)))
    put(tmp_path, f"Bob_14_assignsubmission_file_/{NAME}.ipynb")
    found, refused = collect(tmp_path, KNOWN, [NAME])
    assert not refused
    assert [s.student for s in found] == ["Ada Lovelace 12", "Ada Lovelace 13", "Bob"]
    assert "Moodle's number" in found[0].notes[0]
    assert found[2].notes == ()


def test_names_that_differ_in_case_only_are_refused_because_their_folders_may_be_one(tmp_path):
    if os.path.normcase("A") == "a":
        pytest.skip("the disk does not tell them apart")
    put(tmp_path, f"ada/{NAME}.ipynb", f"Ada/{NAME}.ipynb", f"ben/{NAME}.ipynb")
    found, refused = told(tmp_path)
    assert list(found) == [("ben", NAME)]
    assert "upper and lower case" in refused[f"ada, {NAME}"]
    assert "upper and lower case" in refused[f"Ada, {NAME}"]


def test_whoever_handed_in_no_notebook_is_told_so(tmp_path):
    put(tmp_path, f"Ada_12_assignsubmission_file_/{NAME}.py", f"Bob_13_assignsubmission_file_/{NAME}.ipynb")
    put(tmp_path, "Bob_13_assignsubmission_file_/notes.pdf", f"eve/{NAME}.html", f"fay/{NAME}.ipynb", "fay/readme.txt")
    put(tmp_path, f"guy/{NAME}.ipynb.txt", f"._{NAME}.ipynb", f"__MACOSX/hal/{NAME}.ipynb")
    found, refused = told(tmp_path)
    assert sorted(found) == [("Bob", NAME), ("fay", NAME)]
    assert set(refused) == {f"Ada_12_assignsubmission_file_/{NAME}.py", f"eve/{NAME}.html", f"guy/{NAME}.ipynb.txt"}
    assert all("hand in the .ipynb" in reason for reason in refused.values())


def test_the_time_is_from_where_it_is_known(tmp_path):
    berlin = Policy(ZoneInfo("Europe/Berlin"), rules={NAME: Rule(submitted={"fay": datetime(2026, 1, 1, tzinfo=UTC)})})
    put(tmp_path, f"ada/{NAME}.ipynb", f"x_bob_attempt_2026-07-01-12-00-00_{NAME}.ipynb", f"c_7_8_{NAME}.ipynb")
    put(tmp_path, f"Dan_9_assignsubmission_file_/{NAME}.ipynb", f"fay/{NAME}.ipynb")
    os.utime(tmp_path / f"ada/{NAME}.ipynb", (1_790_000_000, 1_790_000_000))
    found = {s.student: s for s in collect(tmp_path, KNOWN, [NAME], policy=berlin)[0]}
    assert (found["ada"].submitted, found["ada"].clock) == (
        datetime.fromtimestamp(1_790_000_000, UTC),
        "the time of its file",
    )
    assert (found["bob"].submitted, found["bob"].clock) == (datetime(2026, 7, 1, 10, tzinfo=UTC), "its file name")
    assert (found["fay"].submitted, found["fay"].clock) == (datetime(2026, 1, 1, tzinfo=UTC), "grading.toml")
    # the times in the ZIP files of Canvas and Moodle are those of the download
    assert (found["c-7"].submitted, found["Dan"].submitted) == (None, None)


# ZIP files


def packed(path: Path, members: dict[str, bytes], **options) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 3, 4, 5, 6, 8)) if "info" in options else name, data)
    return path


def test_a_zip_from_the_system_is_as_good_as_a_folder(tmp_path):
    path = packed(tmp_path / "all.zip", {f"lovelaceada_4711_990_{NAME}.ipynb": b"{}", "x_1_2_report.pdf": b"%PDF"})
    with opened(path) as (folder, left_out):
        assert not left_out
        found, refused = told(folder)
        assert list(found) == [("lovelaceada-4711", NAME)]
        assert list(refused) == ["x_1_2_report.pdf"]
        assert (folder / "x_1_2_report.pdf").stat().st_size == 0
    assert not folder.exists()
    with opened(tmp_path) as (folder, left_out):
        assert (folder, left_out) == (tmp_path, [])


def test_times_in_a_zip_stay(tmp_path):
    with opened(packed(tmp_path / "all.zip", {f"ada/{NAME}.ipynb": b"{}"}, info=True)) as (folder, _):
        moment = datetime.fromtimestamp((folder / f"ada/{NAME}.ipynb").stat().st_mtime)
    assert moment == datetime(2026, 3, 4, 5, 6, 8)


HOSTILE = {
    "upwards": ("../evil.ipynb", b"{}", "out of the ZIP"),
    "upwards, inside": ("ada/../../evil.ipynb", b"{}", "out of the ZIP"),
    "absolute": ("/tmp/evil.ipynb", b"{}", "out of the ZIP"),
    "backslashes": ("..\\evil.ipynb", b"{}", "out of the ZIP"),
    "a drive": ("C:/evil.ipynb", b"{}", "out of the ZIP"),
    "a terminal's escape": ("ada\x1b[2J.ipynb", b"{}", "control characters"),
    "a name too long": ("x" * 300 + ".ipynb", b"{}", "too long"),
    "a bomb": ("bomb.ipynb", b" " * 19_000_000, "larger unpacked"),
    "too large": ("big.ipynb", b" " * 20_000_001, "more than 20 MB"),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_file_of_a_zip_is_left_out_and_the_others_are_not(tmp_path, attack):
    name, data, reason = HOSTILE[attack]
    inside = tmp_path / "inside"
    inside.mkdir()
    path = packed(inside / "all.zip", {name: data, f"ada/{NAME}.ipynb": b"{}"})
    target = inside / "target"
    target.mkdir()
    ((left_out, why),) = lms.unpack(path, target)
    assert reason in why
    assert left_out.isprintable()
    assert [p.relative_to(target).as_posix() for p in target.rglob("*.ipynb")] == [f"ada/{NAME}.ipynb"]
    assert (
        not list(tmp_path.glob("*evil*")) and not list(inside.glob("*evil*")) and not Path("/tmp/evil.ipynb").exists()
    )


def test_links_twins_and_damage_in_a_zip_are_left_out(tmp_path):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link.ipynb")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("a.ipynb", b"{1}")
        archive.writestr("A.ipynb", b"{2}")
        archive.writestr("hurt.ipynb", b"{not so long}")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"{not so long}", b"{not so loud}"))
    (tmp_path / "out").mkdir()
    left_out = dict(lms.unpack(path, tmp_path / "out"))
    assert "link" in left_out["link.ipynb"]
    assert "twice" in left_out["A.ipynb"]
    assert "damaged" in left_out["hurt.ipynb"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == {"a.ipynb": b"{1}"}


def test_too_much_in_a_zip_is_one_sentence(tmp_path, monkeypatch):
    path = packed(tmp_path / "all.zip", {f"{k}.ipynb": os.urandom(1000) for k in range(5)})
    for limit, value, sentence in (("MEMBERS", 4, "more than 4 files"), ("UNPACKED", 3000, "when unpacked")):
        with monkeypatch.context() as patch:
            patch.setattr(lms, limit, value)
            with pytest.raises(CourseError, match=sentence), opened(path):
                pass
    (tmp_path / "cut.zip").write_bytes(path.read_bytes()[:-30])
    with pytest.raises(CourseError, match="not a folder"), opened(tmp_path / "cut.zip"):
        pass
    with pytest.raises(CourseError, match="no folder"), opened(tmp_path / "none.zip"):
        pass


# Rosters

ROSTERS = {
    "nbgrader": "id,first_name,last_name,email,lms_user_id\nada,Ada,Lovelace,ada@example.org,4711\n",
    "canvas": "Student,ID,SIS User ID,SIS Login ID,Section,ps01 (3)\n    Points Possible,,,,,40\n"
    '"Lovelace, Ada",4711,s1,ada,S,\n',
    "moodle": "\ufeffIdentifier,Full name,Email address,Status,Grade,Last modified (submission)\n"
    'Participant 4711,Ada Lovelace,ada,Submitted,-,"Sunday, 1 November 2026, 11:59 PM"\n',
    "moodle, people": '"First name","Last name","ID number","Email address"\nAda,Lovelace,ada,ada@example.org\n',
}


@pytest.mark.parametrize("kind", ROSTERS)
def test_a_roster_of_any_system_says_who_somebody_is(tmp_path, kind):
    (tmp_path / "roster.csv").write_text(ROSTERS[kind], encoding="utf-8")
    roster = read_roster(tmp_path / "roster.csv")
    person, problem = roster.find("lovelaceada" if kind == "canvas" else "Ada Lovelace", "")
    assert problem == ""
    assert person is not None and person.student == "ada"
    if "people" not in kind:
        assert roster.find("", "4711")[0] == person
    if kind == "moodle":
        assert person.submitted == datetime(2026, 11, 1, 23, 59)


def test_with_a_roster_students_have_their_ids_whatever_the_system_calls_them(tmp_path):
    roster = Roster.of([Person("ada", "Ada", "Lovelace", lms_id="4711"), Person("bob", name="Bob Moog", lms_id="12")])
    put(tmp_path, f"lovelaceada_4711_990_{NAME}.ipynb", f"Bob Moog_99_assignsubmission_file_/{NAME}.ipynb")
    put(tmp_path, f"Zoë_98_assignsubmission_file_/{NAME}.ipynb")
    found, refused = collect(tmp_path, KNOWN, [NAME], roster=roster)
    assert not refused
    assert [(s.student, s.notes) for s in found] == [("Zoë", ("is not in the roster",)), ("ada", ()), ("bob", ())]
    assert found[1].person is not None and found[1].person.first_name == "Ada"


def test_a_roster_that_contradicts_a_file_name_or_knows_two_is_not_guessed_from(tmp_path):
    twins = [Person("ada1", "Ada", "Lovelace", lms_id="1"), Person("ada2", "Ada", "Lovelace", lms_id="2")]
    roster = Roster.of([*twins, Person("bob", "Bob", "Moog", lms_id="3")])
    assert roster.find("Ada Lovelace", "2")[0] == twins[1]
    put(tmp_path, f"Ada Lovelace_9_assignsubmission_file_/{NAME}.ipynb")
    put(tmp_path, f"Ada Lovelace_3_assignsubmission_file_/{NAME}.ipynb")
    found, refused = told(tmp_path, roster=roster)
    assert not found
    assert "2 people of the roster" in refused[f"Ada Lovelace_9_assignsubmission_file_/{NAME}.ipynb"]
    assert "that of bob, not of Ada" in refused[f"Ada Lovelace_3_assignsubmission_file_/{NAME}.ipynb"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("colour,size\nred,1\n", "no column that says who"),
        ("id\n../x\n", "no name for a student"),
        ("id\nada\nAda\n", "twice"),
        (b"\xff\xfe\x00", "no CSV file in UTF-8"),
    ],
)
def test_a_bad_roster_is_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "roster.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CourseError, match=sentence):
        read_roster(path)
    with pytest.raises(CourseError, match="Cannot read"):
        read_roster(tmp_path / "none.csv")
