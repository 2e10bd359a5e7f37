"""The Hugging Face hub: what is within reach, with bounded waiting, and its errors in one line.

    access.py     can a model or dataset be had here? asked by preflight, without downloading it
    failures.py   an exception of huggingface_hub, datasets or transformers -> what is wrong and what to do
    waiting.py    how long a request may take and how long a retry may wait
    cache.py      are the cached files what their names say?

Nothing here imports huggingface_hub before it is needed: the planner imports this package.
"""
