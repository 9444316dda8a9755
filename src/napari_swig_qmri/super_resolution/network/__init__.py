"""The network that corrects the posterior's maps, and its training."""
