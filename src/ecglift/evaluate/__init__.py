"""Measurements of single stages against the press's truth."""
