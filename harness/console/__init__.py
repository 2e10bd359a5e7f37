"""The terminal: output streams, Rich's console, live progress."""
