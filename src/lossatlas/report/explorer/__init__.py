"""Surfaces to turn and compare in a browser: one HTML file with its data and Plotly inside."""
