"""What some tests of grading need of this machine."""

from __future__ import annotations

import pytest

from course_lib.errors import CourseError
from course_lib.grading.sandbox import box

try:
    box.bubblewrap()
    NO_SANDBOX = ""
except CourseError as error:
    NO_SANDBOX = str(error)
needs_sandbox = pytest.mark.skipif(bool(NO_SANDBOX), reason=NO_SANDBOX)
