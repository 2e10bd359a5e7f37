"""The figures of the report: plotly specifications, and the same as SVG."""
