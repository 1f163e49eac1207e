"""Between the tests, which are trusted, and the student's code, which runs in a sandbox: values cross, code does not.
"""
