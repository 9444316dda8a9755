"""The training-free solver: regression, gains, and the maximum of the posterior."""
