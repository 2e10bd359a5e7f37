"""HTML pages: the frame, the report, the comparison."""
