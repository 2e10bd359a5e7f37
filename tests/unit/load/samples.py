"""Samples made by hand, for the tests of what is computed from them."""

import numpy as np

from harness.loadgen.client.trace import Asked
from harness.loadgen.samples import Sample


def made(index, intended_s, sent_s, token_s, *, turn=0, connect_s=0.0, error=None, **changes):
    """Ten prompt tokens; it asked for as many tokens as it got, or three."""
    count = len(token_s) or 3
    values = {
        "asked": Asked(10, count if error is None else 3, turn),
        "end_s": token_s[-1] if token_s else None,
        "merged_events": 0,
        "prompt_tokens": 10,
        "completion_tokens": count,
    }
    tokens = np.array(token_s, dtype=float)
    return Sample(
        index=index,
        intended_s=intended_s,
        sent_s=sent_s,
        connect_s=connect_s,
        token_s=tokens,
        error=error,
        **{**values, **changes},
    )


def steady_cell(*, rate_rps, requests, tokens, gap_s):
    """Requests at even distances, each with its tokens `gap_s` apart from its send on."""
    starts = [index / rate_rps for index in range(requests)]
    steps = gap_s * np.arange(1, tokens + 1)
    return [made(index, start, start, (start + steps).tolist()) for index, start in enumerate(starts)]
