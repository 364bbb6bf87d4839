"""Image data sets: lookup, download, checks and loading."""
