"""A user of the test hub: the environment of a command, and a token that no output may hold."""

import os
from pathlib import Path

from tests.hub.server import Hub

TOKEN = "hf_" + "Q" * 34
UNSET = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_TOKEN_PATH", "HF_HUB_OFFLINE")


def environment(hub: Hub, home: Path, **more: str) -> dict[str, str]:
    """Return this process's environment with the hub's address and a home folder of its own."""
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    places = {"HF_HOME": str(home / "hf"), "XDG_CACHE_HOME": str(home / "xdg"), "HF_ENDPOINT": hub.endpoint}
    return {**kept, **places, "GITHUB_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_TELEMETRY": "1", **more}
