"""Our feedback pages for nbgrader's own tools: `nbgrader generate_feedback` and the button of the formgrader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbconvert.exporters import Exporter

from course_lib.grading.course import Course
from course_lib.grading.feedback import read_given
from course_lib.grading.page import Page


class FeedbackPage(Exporter):
    """Writes the page that `course feedback` writes; named in nbgrader_config.py."""

    output_mimetype = "text/html"
    file_extension = ".html"

    def from_notebook_node(self, nb: Any, resources: Any = None, **options: Any) -> tuple[str, Any]:
        """The page of the submission that nbgrader names in `resources`, from the files of the course."""
        _, resources = super().from_notebook_node(nb, resources, **options)
        student, name = (resources["nbgrader"][key] for key in ("student", "assignment"))
        root = Path(self.parent.coursedir.root)
        given = read_given(Course(root), [name], student).get((student, name))
        return Page(root, student, name, given).html(), resources
