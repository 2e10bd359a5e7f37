"""Rows of accuracy.py."""
