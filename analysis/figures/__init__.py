"""The figures of the paper; matplotlib is imported here alone."""
