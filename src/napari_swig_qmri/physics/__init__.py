"""What a scanner would measure of a tissue: quantities, sequences and their signal equations."""
