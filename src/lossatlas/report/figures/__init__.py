"""Figures: a function takes results and returns a matplotlib `Figure`; the stage saves it."""
