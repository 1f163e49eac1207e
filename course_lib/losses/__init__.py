"""Formulas, each once."""
