"""How wrong a client's token times are.

Two measures, both against the server's own record of the moment just before each write, on the same machine and clock:

    time-stamp error    |reported arrival - sent|. The way through the loopback is in it, some microseconds, for every
                        client alike; a client that looks at its clock late is off by that much.
    gap error           |(reported a_(k+1) - a_k) - (sent s_(k+1) - s_k)|. What an ITL is wrong by; an error that all
                        tokens of a request share cancels.

Requests are joined on their ids. GuideLLM reports the first and the last token only: its "gap" spans the request.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from loadgen_peers import Reported

APART_NS = 1e6


@dataclass(frozen=True)
class StampErrors:
    stamp_us: np.ndarray  # absolute values, one a reported token
    gap_us: np.ndarray  # absolute values, one a pair of tokens that are reported one after the other
    unmatched: int  # requests of either side without their like on the other


def stamp_errors(reported: Iterable[Reported], sent_ns: dict[str, np.ndarray]) -> StampErrors:
    """A request with other tokens than the server sent counts as unmatched."""
    stamps, gaps, matched, strange = [], [], set(), 0
    for one in reported:
        sent = sent_ns.get(one.request_id)
        if sent is None or len(one.at_ns) != len(one.token) or one.token[-1] != len(sent) - 1:
            strange += 1
            continue
        matched.add(one.request_id)
        true = sent[one.token].astype(np.float64)
        stamps.append(np.abs(one.at_ns - true))
        gaps.append(np.abs(np.diff(one.at_ns) - np.diff(true)))
    if not stamps:
        return StampErrors(np.array([]), np.array([]), strange + len(sent_ns))
    return StampErrors(
        np.concatenate(stamps) / 1e3, np.concatenate(gaps) / 1e3, strange + len(sent_ns.keys() - matched)
    )


def merged_share(reported: Iterable[Reported], sent_ns: dict[str, np.ndarray]) -> float:
    """Share of tokens that have the time of the token before them although the server sent them 1 ms apart or more."""
    merged = tokens = 0
    for one in reported:
        together = np.diff(one.at_ns) == 0
        merged += int((together & (np.diff(sent_ns[one.request_id][one.token]) > APART_NS)).sum())
        tokens += len(one.token)
    return merged / max(1, tokens)
