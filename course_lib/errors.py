"""One exception for everything a user can get wrong."""


class CourseError(Exception):
    """Bad input or a missing resource. The message is one sentence: what is wrong and what to do."""
