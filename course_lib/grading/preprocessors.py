"""Corrections of nbgrader's defaults, named in nbgrader_config.py so that the plain tools have them too."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from nbgrader.plugins import LateSubmissionPlugin
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_grade, is_solution

from course_lib.grading import late

BEGIN_HIDDEN, END_HIDDEN = "BEGIN HIDDEN TESTS", "END HIDDEN TESTS"
# How IPython heads the frame of a cell in a traceback: "Cell In[7], line 3"; the first one is the cell that was run.
CELL_LINE = re.compile(r"Cell In\s*\[\d+\], line (\d+)")
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class HarmlessStderr(NbGraderPreprocessor):
    """Show what a test cell printed to stderr as ordinary output.

    nbgrader takes any stderr in a test cell for a failure, so a correct answer that makes torch or NumPy warn would
    lose its points. An exception is still an exception.
    """

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> tuple[Any, Any]:
        if cell.cell_type == "code" and is_grade(cell):
            for output in cell.outputs:
                if output.output_type == "stream":
                    output.name = "stdout"
        return cell, resources


class HideHiddenTests(NbGraderPreprocessor):
    """Take hidden tests, and the tracebacks that quote them, out of the feedback.

    A failed visible check keeps its message, for that is written to teach; a failed hidden test says only that it
    failed and with which kind of error.
    """

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> tuple[Any, Any]:
        if cell.cell_type != "code" or not is_grade(cell) or is_solution(cell):
            return cell, resources
        kept, hidden, inside = [], {}, False
        for number, line in enumerate(cell.source.split("\n"), start=1):
            inside = inside or BEGIN_HIDDEN in line
            if inside:
                if number - 1 not in hidden:
                    kept.append("# Hidden tests ran here.")
                hidden[number] = line.strip()
            else:
                kept.append(line)
            inside = inside and END_HIDDEN not in line
        if not hidden:
            return cell, resources
        cell.source = "\n".join(kept)
        secret = {line for line in hidden.values() if len(line) > 3}
        for output in cell.outputs:
            if output.output_type == "error":
                place = CELL_LINE.search(ANSI.sub("", "\n".join(output.traceback)))
                if output.ename == "NotImplementedError":
                    sentence, output.evalue = "This task is not done yet.", ""
                elif place is not None and int(place.group(1)) not in hidden:
                    sentence = f"{output.ename}: {output.evalue}"
                else:
                    sentence, output.evalue = f"A hidden test failed: {output.ename}", ""
                output.traceback = [sentence]
            elif output.output_type == "stream":
                output.text = without(secret, output.text)
            else:
                texts = {kind: text for kind, text in output.data.items() if isinstance(text, str)}
                output.data.update({kind: without(secret, text) for kind, text in texts.items()})
        return cell, resources


def without(secret: set[str], text: str) -> str:
    """`text` without the lines that quote a secret one, as a warning quotes the line that caused it."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not any(hidden in line for hidden in secret))


class LatePenalty(LateSubmissionPlugin):
    """What grading.toml takes off for being late, for `nbgrader autograde`.

    nbgrader asks for it where a submission came after the time due, extension included, and looks at no attempts.
    """

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float:
        """Points to take off."""
        asking = self.parent  # nbgrader's AssignLatePenalties
        rule = late.read_policy(Path(asking.config.CourseDirectory.root)).of(asking.assignment_id)
        submitted = asking.gradebook.find_submission_notebook(asking.notebook_id, asking.assignment_id, student_id)
        terms = {"late_share": rule.taken(timedelta(seconds=total_seconds_late)), "floor": rule.floor}
        return score - late.adjusted(score, submitted.max_score, terms)
