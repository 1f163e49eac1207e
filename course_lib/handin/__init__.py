"""Handing in: a notebook rebuilt on the problem set it belongs to, and checked before anybody grades it."""
