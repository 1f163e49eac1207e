"""What comes from a learning management system: file names of bulk downloads, ZIP files, rosters.

What the names look like was taken from the systems themselves:

- Canvas, "Download Submissions" (https://github.com/instructure/canvas-lms/blob/master/lib/content_zipper.rb):
  NAME_USER_FILE_TITLE.ipynb or NAME_LATE_USER_FILE_TITLE.ipynb. NAME is "Last, First" in lower case and without
  anything but letters and digits, USER the number of the person, FILE that of the uploaded file; with anonymous grading
  NAME_USER is anon_CODE. A title that the student used before gets "-1", "-2" and so on (make_unique_filename in
  https://github.com/instructure/canvas-lms/blob/master/app/models/attachment.rb). LATE stands by Canvas's due date.
- Moodle, "Download all submissions" (https://github.com/moodle/moodle/blob/main/mod/assign/classes/downloader.php):
  First Last_NUMBER_assignsubmission_file/TITLE.ipynb (older versions: ..._file_/), or all in one folder as
  First Last_NUMBER_assignsubmission_file_TITLE.ipynb. NUMBER is the participant's in this one assignment, as in the
  column Identifier of its grading worksheet; it is another in the next. Where marking is blind, or people share a name,
  it is all that tells them apart.
- Blackboard, as nbgrader's documentation has it (https://nbgrader.readthedocs.io/en/stable/plugins/zipcollect-plugin.html):
  TITLE_STUDENT_attempt_2016-01-30-15-00-00_FILE.ipynb.
- nbgrader (https://nbgrader.readthedocs.io/en/stable/user_guide/philosophy.html): STUDENT/NAME/NAME.ipynb, with the
  time of submission in STUDENT/NAME/timestamp.txt.

Neither Canvas nor Moodle writes the time of submission into its ZIP: the times in there are those of the download.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
import re
import stat
import tempfile
import time
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path, PurePosixPath
from zoneinfo import ZoneInfo

from course_lib.errors import CourseError
from course_lib.handin.reading import SIZE

MEMBERS = 100_000  # files in a ZIP
UNPACKED = 8_000_000_000  # bytes, all files of a ZIP together
DENSITY = 200  # times smaller when packed; notebooks are 3 to 30 times, a bomb a thousand
LONGEST = 150  # bytes of a student's name, so that it can be a folder on any disk

# The system's part of a name comes first and the student's title last, so nothing in a title may change who it is from.
MOODLE_FOLDER = re.compile(r"(?P<name>[^_]+)_(?P<id>\d+)_assignsubmission_file_?")
MOODLE_FILE = re.compile(r"(?P<name>[^_]+)_(?P<id>\d+)_assignsubmission_file_(?P<title>.+)")
BLACKBOARD = re.compile(
    r"(?P<assignment>.+?)_(?P<student>[^_]+)_attempt_(?P<time>\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d)(?:_(?P<title>.+))?"
)
CANVAS = re.compile(r"(?P<name>\w+?)_(?P<late>LATE_)?(?P<id>\d+)_(?P<file>\d+)_(?P<title>.+)")
CANVAS_ANONYMOUS = re.compile(r"(?P<late>LATE_)?anon_(?P<id>[0-9A-Za-z]+)_(?P<file>\d+)_(?P<title>.+)")
COPY = re.compile(r"(?:[-_ ]?\(?\d{1,2}\)?|[-_ ]copy|\s*- Copy)$", re.IGNORECASE)  # NAME-1, NAME (1), NAME copy


@dataclass(frozen=True)
class Found:
    """What the place and name of one file tell. A field is empty, or None, where they do not tell it."""

    system: str  # "canvas", "moodle", "blackboard", "plain", or "unclear" where it could be two of them
    student: str | None  # who handed it in, as the gradebook will call them
    assignment: str | None
    name: str = ""  # as the system shows it
    lms_id: str = ""  # the system's own number
    submitted: datetime | None = None  # without a time zone
    order: int | None = None  # larger: uploaded later
    late: bool | None = None  # whether the system marked it as late


def read_path(parts: Sequence[str], known: Sequence[str], wanted: Sequence[str]) -> Found:
    """Whose submission of what a file is, by its path.

    Args:
        parts: the path below the folder of submissions, in its parts.
        known: every problem set of the course.
        wanted: those to be graded. Where it is only one, a file that a student named otherwise is taken to be that,
            provided that the system says whose it is.
    """
    parts = [unicodedata.normalize("NFC", part) for part in parts]
    stem = re.split(r"\.ipynb", PurePosixPath(parts[-1]).stem, maxsplit=1, flags=re.IGNORECASE)[0]  # x.ipynb.txt
    # Below the first folder everything can be named by the student.
    if len(parts) > 1 and (match := MOODLE_FOLDER.fullmatch(parts[0])):
        return _moodle(match["name"], match["id"], _assignment(stem, known, wanted))
    if len(parts) == 1 and (found := _flat(stem, known, wanted)):
        return found
    return _plain(parts, stem, known)


def _flat(stem: str, known: Sequence[str], wanted: Sequence[str]) -> Found | None:
    """What a name tells that a system has put together; None where it is none of those."""
    if match := MOODLE_FILE.fullmatch(stem):
        return _moodle(match["name"], match["id"], _assignment(match["title"], known, wanted))
    blackboard = BLACKBOARD.fullmatch(stem)
    if match := CANVAS_ANONYMOUS.fullmatch(stem) or CANVAS.fullmatch(stem):
        name, late, file = _assignment(match["title"], known, wanted), bool(match["late"]), int(match["file"])
        if blackboard:  # a title that looks like the other system's name must not make one student another
            return Found("unclear", None, name)
        if match.re is CANVAS_ANONYMOUS:
            return Found("canvas", f"anon-{match['id']}", name, "", "", None, file, late)
        student = shortened(f"{match['name']}-{match['id']}", f"-{match['id']}")
        return Found("canvas", student, name, match["name"], match["id"], None, file, late)
    if blackboard:
        titles = (blackboard["title"] or "", blackboard["assignment"])
        name = next((found for title in titles if (found := _assignment(title, known, ()))), None)
        try:
            at = datetime.strptime(blackboard["time"], "%Y-%m-%d-%H-%M-%S")
        except ValueError:
            return None
        name = name or _assignment("", known, wanted)
        student = blackboard["student"]
        return Found("blackboard", student, name, "", student, at, int(at.replace(tzinfo=UTC).timestamp()))
    return None


def _moodle(name: str, number: str, assignment: str | None) -> Found:
    return Found("moodle", as_student(name) or f"participant {number}", assignment, name, number)


def _plain(parts: Sequence[str], stem: str, known: Sequence[str]) -> Found:
    """STUDENT/NAME.ipynb, STUDENT/NAME/NAME.ipynb, STUDENT_NAME.ipynb."""
    name = stem if stem in known else COPY.sub("", stem)
    if name in known:
        nested = len(parts) == 2 or (len(parts) == 3 and parts[1] == name)
        return Found("plain", (parts[0] or None) if nested else None, name)
    if len(parts) == 1:
        for name in sorted(known, key=len, reverse=True):
            if stem.endswith(f"_{name}") and len(stem) > len(name) + 1:
                return Found("plain", stem.removesuffix(f"_{name}"), name)
    return Found("plain", None, None)


def _assignment(title: str, known: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The problem set that a title names: itself, else the longest name within it, else the only one wanted."""
    if title in known:
        return title
    spelt = re.sub(r"[^0-9a-z]+", "_", title.lower())
    within = [name for name in known if re.search(rf"(?:^|_){re.escape(name.lower())}(?:_|$)", spelt)]
    if within:
        return max(within, key=len)
    return wanted[0] if len(wanted) == 1 else None


def is_student(name: str) -> bool:
    """Whether this can be a student in the gradebook: a folder, a row of a table and a field of a CSV file at once.

    Letters, marks and digits of any script, spaces and . _ @ + -, a letter or digit first, no space or dot last.
    """
    return (
        bool(name)
        and name[0].isalnum()
        and name[-1] not in " ."
        and len(name.encode()) <= LONGEST
        and all(c.isalnum() or c in "._@+- " or unicodedata.category(c).startswith("M") for c in name)
    )


def as_student(name: str) -> str:
    """A person's name as a student of the gradebook, with what cannot be in one left out. May come out empty."""
    kept = "".join(
        c if c.isalnum() or c in "._@+- " or unicodedata.category(c).startswith("M") else " " if c.isspace() else ""
        for c in unicodedata.normalize("NFC", name)
    )
    kept = re.sub(r"^[^\w]+|_+(?=$)", "", " ".join(kept.split())).lstrip("_")
    return shortened(kept, "").rstrip(" .")


def shortened(name: str, keep: str) -> str:
    """`name` cut to what a folder may be called; its end `keep` stays."""
    if len(name.encode()) <= LONGEST:
        return name
    room = LONGEST - len(keep.encode())
    return name.removesuffix(keep).encode()[:room].decode(errors="ignore") + keep


def timestamp(text: str) -> datetime:
    """The time in a timestamp.txt of nbgrader, such as "2026-02-02 15:58:23.948203 UTC"; UTC where no zone is given.

    Raises:
        ValueError: it is no time, or one of another age.
    """
    words = text.split()
    zone: tzinfo = UTC
    if len(words) == 3:
        try:
            zone = ZoneInfo(words.pop())
        except (OSError, ValueError, KeyError):
            words = text.split()
            words = [words[0], "".join(words[1:])]  # an offset such as +0100
    found = datetime.fromisoformat(" ".join(words))
    if not 1970 <= found.year < 9000:
        raise ValueError(f"the year {found.year}")
    return found if found.tzinfo else found.replace(tzinfo=zone)


# ZIP files


@contextmanager
def opened(path: Path) -> Iterator[tuple[Path, list[tuple[str, str]]]]:
    """The folder of submissions that `path` is, or that the ZIP file `path` holds, unpacked until the block ends.

    Yields:
        The folder, and what was left packed: (name of the file, why), a clause.

    Raises:
        CourseError: there is nothing there, it is neither a folder nor a ZIP file, or it is too large.
    """
    if path.is_dir():
        yield path, []
        return
    if not path.exists():
        raise CourseError(f"There is no folder {path}.")
    if not zipfile.is_zipfile(path):
        raise CourseError(f"{path} is not a folder, and no ZIP file either; give the one that holds the submissions.")
    with tempfile.TemporaryDirectory(prefix="submissions-") as folder:
        root = Path(folder) / "submissions"
        root.mkdir()
        yield root, unpack(path, root)


def unpack(path: Path, folder: Path) -> list[tuple[str, str]]:
    """Unpack the notebooks of a ZIP file into an empty folder, and nothing outside it.

    Of files that are no notebooks (.ipynb) and no timestamp.txt only the name is kept: they become empty files, so that
    it is seen who handed in something else.

    Returns:
        (name, why) of each file that was left out; a clause.

    Raises:
        CourseError: it is damaged, has too many files, or is too large when unpacked.
    """
    left_out: list[tuple[str, str]] = []
    taken: set[str] = set()
    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > MEMBERS:
                raise CourseError(
                    f"{path} holds more than {MEMBERS} files, which no class hands in; unpack it yourself."
                )
            for member in archive.infolist():
                if member.is_dir():
                    continue
                place, reason = _place(member)
                if place and place.casefold() in taken:
                    reason = "it is there twice"
                if reason:
                    left_out.append((printable(member.filename), reason))
                    continue
                taken.add(place.casefold())
                target = folder / place
                try:
                    data = _content(archive, member)
                    total += len(data)
                    if total > UNPACKED:
                        raise CourseError(
                            f"{path} has more than {UNPACKED // 10**9} GB when unpacked; "
                            "split it, or unpack it yourself."
                        )
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(data)
                    moment = time.mktime((*member.date_time, 0, 0, -1))
                    os.utime(target, (moment, moment))
                except (_LeftOutError, OSError, OverflowError, ValueError) as error:
                    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                        raise CourseError(f"The disk is too full to unpack {path}; make room and try again.") from error
                    with contextlib.suppress(OSError):
                        target.unlink(missing_ok=True)
                    reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
                    left_out.append((printable(member.filename), reason))
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise CourseError(f"{path} is a damaged ZIP file ({error}); download it again.") from error
    return left_out


class _LeftOutError(Exception):
    pass


def _place(member: zipfile.ZipInfo) -> tuple[str, str]:
    """Where a file of a ZIP goes below the folder, and why it goes nowhere: one of the two is empty."""
    name = unicodedata.normalize("NFC", member.filename.replace("\\", "/"))
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", name):
        return "", "its path leads out of the ZIP"
    if any(ord(c) < 32 or c == "\x7f" for c in name):
        return "", "its name has control characters in it"
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        return "", "it is a link, not a file"
    return "/".join(parts), ""


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a file of a ZIP; what its header says about their number is not believed."""
    name = PurePosixPath(member.filename.replace("\\", "/")).name
    if not name.lower().endswith(".ipynb") and name != "timestamp.txt":
        return b""
    if member.flag_bits & 1:
        raise _LeftOutError("it is locked with a password")
    try:
        with archive.open(member) as file:
            data = file.read(SIZE + 1)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        raise _LeftOutError(f"it is damaged in the ZIP ({error})") from error
    except Exception as error:  # each method of compression has errors of its own
        raise _LeftOutError(f"it is damaged in the ZIP ({type(error).__name__})") from error
    if len(data) > SIZE:
        raise _LeftOutError(f"it has more than {SIZE // 10**6} MB; clear the outputs and hand it in again")
    if len(data) > 5_000_000 and len(data) > DENSITY * max(member.compress_size, 1):
        raise _LeftOutError("it is far larger unpacked than packed, as no notebook is")
    return data


def printable(text: str) -> str:
    """`text` in one line, with what a terminal might obey shown as ?."""
    return "".join(c if c.isprintable() else "?" for c in text)


# Rosters


@dataclass(frozen=True)
class Person:
    """One line of a roster. Only `student` is always there."""

    student: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_id: str = ""
    name: str = ""  # in one piece, where the roster has it so
    submitted: datetime | None = None  # without a time zone


@dataclass(frozen=True)
class Roster:
    """Who is in the class: finds a person by the system's number, or by name."""

    people: tuple[Person, ...] = ()
    _ids: dict[str, list[Person]] = field(default_factory=dict, repr=False)
    _names: dict[str, list[Person]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, people: Sequence[Person]) -> Roster:
        roster = cls(tuple(people))
        for person in people:
            if person.lms_id:
                roster._ids.setdefault(person.lms_id, []).append(person)
            both = {f"{person.first_name} {person.last_name}", f"{person.last_name} {person.first_name}", person.name}
            for name in {_letters(name) for name in both} - {""}:
                roster._names.setdefault(name, []).append(person)
        return roster

    def find(self, name: str, lms_id: str, student: str = "") -> tuple[Person | None, str]:
        """The person with this number, else with this name, else called this in the gradebook.

        Returns:
            The person and "", or None and what is contradictory, a clause; both empty where nobody is like that.
        """
        numbered, named = self._ids.get(lms_id, []), self._names.get(_letters(name), []) if name else []
        if numbered and named and not any(person in named for person in numbered):
            return None, f"in the roster the number {lms_id} is that of {numbered[0].student}, not of {name}"
        called = [person for person in self.people if student and person.student == student]
        for found, what in (numbered, f"the number {lms_id}"), (named, f"the name {name}"), (called, "this id"):
            if len(found) == 1:
                return found[0], ""
            if found:
                who = " and ".join(person.student for person in found[:3])
                return None, f"{len(found)} people of the roster have {what} ({who})"
        return None, ""


def _letters(name: str) -> str:
    """A name by which to compare: letters and digits only, without case, as Canvas writes it into file names."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in folded if c.isalnum() or unicodedata.category(c).startswith("M"))


COLUMNS = {  # our field: headings of nbgrader's, Canvas's and Moodle's tables, in the order of preference
    "student": ("student_id", "id", "sis login id", "username", "sis user id", "id number", "email address"),
    "first_name": ("first_name", "first name"),
    "last_name": ("last_name", "last name", "surname"),
    "email": ("email", "email address"),
    "lms_id": ("lms_user_id", "lms_id", "identifier", "id"),
    "name": ("name", "full name", "student"),
    "submitted": ("last modified (submission)",),
}


def read_roster(path: Path) -> Roster:
    """Read a CSV file with one line for each student.

    Understood are the file of `nbgrader db student import` (id, first_name, last_name, email, lms_user_id:
    https://nbgrader.readthedocs.io/en/stable/user_guide/managing_the_database.html), the export of Canvas's gradebook
    (Student, ID, SIS User ID, SIS Login ID, Section) and Moodle's grading worksheet (Identifier, Full name, Email
    address, ..., which also tells when each one handed in) or list of participants. Other columns do not matter.

    Raises:
        CourseError: it cannot be read, has no column that could be the student's, or has a student twice.
    """
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    except OSError as error:
        raise CourseError(f"Cannot read the roster {path} ({error.strerror or error}).") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CourseError(f"The roster {path} is no CSV file in UTF-8 ({error}); save it as one.") from error
    rows = [row for row in rows if any(field.strip() for field in row)]
    if not rows:
        raise CourseError(f"The roster {path} is empty; it needs a heading and a line for each student.")
    headings = {heading.strip().lower(): place for place, heading in reversed(list(enumerate(rows[0])))}
    canvas, moodle = "sis login id" in headings, "identifier" in headings
    places = {}
    for key, names in COLUMNS.items():
        if canvas or moodle:  # there "ID" is the system's number
            names = tuple(name for name in names if key != "student" or name != "id")
        else:
            names = tuple(name for name in names if key != "lms_id" or name != "id")
        places[key] = next((headings[name] for name in names if name in headings), None)
    if places["student"] is None and places["name"] is None:
        raise CourseError(
            f"The roster {path} has no column that says who a student is; it needs id, SIS Login ID, Username, "
            "Email address or Full name in its first line."
        )
    people: list[Person] = []
    for row in rows[1:]:
        value = {
            key: row[place].strip() if place is not None and place < len(row) else "" for key, place in places.items()
        }
        if canvas and ("points possible" in value["name"].lower() or not (value["lms_id"] or value["student"])):
            continue
        if canvas and ", " in value["name"]:
            value["last_name"], value["first_name"] = value["name"].split(", ", 1)
            value["name"] = f"{value['first_name']} {value['last_name']}"
        name = value["name"]
        student = value["student"] or as_student(name)
        number = re.sub(r"^\D+", "", value["lms_id"]) if moodle else value["lms_id"]  # "Participant 12"
        if not is_student(student):
            raise CourseError(
                f"{printable(student)!r} in the roster {path} is no name for a student; "
                "use letters, digits and . _ @ + -, letters or digits first."
            )
        people.append(
            Person(
                student,
                value["first_name"],
                value["last_name"],
                value["email"],
                number,
                name,
                _when(value["submitted"]),
            )
        )
    seen: dict[str, str] = {}
    for person in people:
        if person.student.casefold() in seen:
            raise CourseError(f"The roster {path} has {person.student} twice; give each student an id of their own.")
        seen[person.student.casefold()] = person.student
    return Roster.of(people)


def _when(text: str) -> datetime | None:
    """The time of a submission as Moodle's worksheet writes it ("Sunday, 1 November 2026, 11:59 PM"), if it is one."""
    if not any(c.isdigit() for c in text):
        return None
    from dateutil import parser

    try:
        return parser.parse(text, dayfirst=True).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None
