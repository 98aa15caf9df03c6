"""Ensembles: which epochs give members, what they predict, how good averages of predictions and of weights are."""
