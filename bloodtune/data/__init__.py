"""Image data sets: lookup, download, folders of photographs, splits, audit and loading."""
