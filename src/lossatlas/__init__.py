"""Reproducibility suite for the geometry of neural network losses."""
