"""Layer stacks, each once."""
