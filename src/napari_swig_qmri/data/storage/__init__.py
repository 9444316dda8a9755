"""Files of images: found, opened, read and written."""
