"""The report: blocks of text, tables and figures, written as Markdown and as one HTML page."""
