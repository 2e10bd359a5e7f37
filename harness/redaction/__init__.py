"""Secrets: where they are read, and how they are kept out of every text that leaves the program."""
