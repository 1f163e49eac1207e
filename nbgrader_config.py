"""nbgrader's settings, read by the plain `nbgrader` tools and by `course release`, `grade` and `feedback`.

So the two can be mixed: `nbgrader autograde ps01_backprop` or the formgrader, started in this folder, work on the same
gradebook and the same folders as `course grade`.
"""

from pathlib import Path

c = get_config()  # noqa: F821  (nbgrader provides it)
root = Path(__file__).resolve().parent
(root / "build" / "grading").mkdir(parents=True, exist_ok=True)

# Where things are: {step}/{student}/{assignment}. What students do not see is made anew under build/.
c.CourseDirectory.root = str(root)
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "assignments"
c.CourseDirectory.submitted_directory = "build/grading/submitted"
c.CourseDirectory.autograded_directory = "build/grading/autograded"
c.CourseDirectory.feedback_directory = "build/grading/feedback"
c.CourseDirectory.source_with_tests_directory = "build/grading/source_with_tests"
c.CourseDirectory.solution_directory = "build/grading/solution"
c.CourseDirectory.db_url = f"sqlite:///{root / 'build' / 'grading' / 'gradebook.db'}"

# nbgrader copies the other files of a source folder to the students; the notebook's source is not for them.
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "*.py"]

# Seconds that one cell may take, and a kernel to start on a busy machine.
c.Execute.timeout = 120
c.Execute.startup_timeout = 120

# What students wrote and printed is shown to others, in pages that run scripts: the formgrader's, above all.
c.HTMLExporter.sanitize_html = True
c.HTMLExporter.filters = {
    "markdown2html": "course_lib.grading.sanitize.markdown",
    "clean_html": "course_lib.grading.sanitize.cleaned",
}
c.GenerateFeedback.exporter_class = "course_lib.grading.exporter.FeedbackPage"

# A warning on stderr is not a wrong answer, and hidden tests stay hidden in the feedback.
c.Autograde.autograde_preprocessors.insert(1, "course_lib.grading.preprocessors.HarmlessStderr")
c.GenerateFeedback.preprocessors.insert(0, "course_lib.grading.preprocessors.HideHiddenTests")

# What grading.toml takes off for being late.
c.AssignLatePenalties.plugin_class = "course_lib.grading.preprocessors.LatePenalty"
