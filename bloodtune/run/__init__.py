"""One search on disk: its records, checkpoints and provenance; no Ray, no torch."""
