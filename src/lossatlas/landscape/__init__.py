"""Directions, lines and planes, curvature, paths of training, and the numbers drawn from them."""
