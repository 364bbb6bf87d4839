"""The report: Markdown, and the same as one HTML page."""
