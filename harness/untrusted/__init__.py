"""Names, text, JSON and patterns from outside: read with limits, shown without control characters."""
