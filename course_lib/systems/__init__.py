"""Systems: one file per update rule. A system holds its networks and optimizers and has `step(batch) -> metrics`."""
