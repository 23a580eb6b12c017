"""Comparisons of populations → a terminal, files."""
