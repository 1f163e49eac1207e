"""The visible checks: they take the student's function or class and say what is likely wrong with it."""
