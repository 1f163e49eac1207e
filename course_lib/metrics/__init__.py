"""How good is it: measures of a sampler against the data or the truth."""
