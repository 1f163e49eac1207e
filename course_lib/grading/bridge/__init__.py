"""Between the tests, which are trusted, and a student's code, which runs in a sandbox: values cross, code does not."""
