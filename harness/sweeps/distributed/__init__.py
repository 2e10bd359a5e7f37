"""Sessions on an executor: how they are split, what is sent to them, and what comes back."""
