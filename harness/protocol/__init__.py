"""What OpenAI-compatible servers say over HTTP, read with care: values, failures, redirects, and proxies on the way.

Load workers import it, and a study starts one for every load cell: nothing heavy here.
"""
