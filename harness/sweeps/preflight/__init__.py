"""What can be known before an engine starts, and what stops a sweep there."""
