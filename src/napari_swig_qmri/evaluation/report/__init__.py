"""A run as one page: verdict, images, standard errors, what was found about each guide, and how it was made."""
