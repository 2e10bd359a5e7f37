"""The endpoint that judges, as a server."""

from harness.config.judge import endpoint
from harness.config.schema import Judge
from harness.engines import Server
from harness.engines.credentials import split_url
from harness.records.engine_facts import EngineFacts


def judge_server(judge: Judge) -> Server:
    """Return the endpoint that judges."""
    base_url, model = endpoint(judge)
    url, _ = split_url(base_url)
    facts = EngineFacts("endpoint", more={"base_url": url, "model": model})
    address = base_url.rstrip("/").removesuffix("/v1")
    return Server(address, model, judge.api_key_env, facts)
