"""Where a student's code runs: bubblewrap around one process that has torch loaded, and a fork of it per submission."""
