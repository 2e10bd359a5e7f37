"""How many examples a fuzz test runs."""

import os

from hypothesis import settings


def examples(count: int) -> settings:
    """Return the settings for `count` examples in `make test`; `FUZZ_S` scales them (60 is 1x)."""
    return settings(
        settings.get_profile("harness"), max_examples=max(1, int(count * float(os.environ.get("FUZZ_S", "60")) / 60))
    )
