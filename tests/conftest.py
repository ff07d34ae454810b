"""Fixtures that any test may ask for."""
