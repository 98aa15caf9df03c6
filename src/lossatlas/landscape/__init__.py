"""Directions, lines and planes."""
