"""To import this module is to load all that checkers need: a fork server can do nothing but import."""

from __future__ import annotations

from course_lib.grading.checker import preload

preload()
