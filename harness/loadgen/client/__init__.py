"""The measured path: one schedule, sent on time by worker processes, every read stamped and kept.

    schedule (the parent) -> worker processes: agenda (what is due) -> loop -> pool, connections, sockets
    spool (bodies and bytes on disk) -> http, sse (token times) -> trace

Nothing is parsed before the cell is over, except where a conversation's next turn needs the answer.
"""
