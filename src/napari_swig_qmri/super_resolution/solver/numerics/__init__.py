"""Averages, noise levels and small matrices of volumes, which the steps of the solver share."""
