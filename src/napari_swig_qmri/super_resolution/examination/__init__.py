"""What the images tell before a run: a part of the head is solved, and what does not fit there is explained."""
