"""The maintainers' side: build notebooks, run them, test the tests, publish. Not part of what students install."""
