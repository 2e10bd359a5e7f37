"""Accuracy-versus-performance studies of compressed LLMs."""

__version__ = "0.1.0"
