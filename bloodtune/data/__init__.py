"""Image data sets: found, downloaded, checked and loaded."""
