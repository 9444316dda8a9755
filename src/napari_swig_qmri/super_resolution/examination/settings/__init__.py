"""Settings of sequences that the guides contradict, found from their contrast and by solving again."""
