"""The instructor's side: release, grade, feedback, export. Not part of what students install."""
