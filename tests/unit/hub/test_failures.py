"""Errors of the hub's clients in one line: what is wrong, and what to do."""

from harness.hub.failures import Place, explain

SAID = (  # hf_xet 1.x behind a firewall that lets huggingface.co through and not the storage
    "Task error: File reconstruction error: CAS Client Error: Request middleware error: error sending request for url "
    "(https://cas-server.xethub.hf.co/v2/reconstructions/aaaa)"
)


def test_xet_storage_that_cannot_be_reached_names_its_host_and_the_way_round():
    said = explain(RuntimeError(SAID), Place("org/name", "model"))
    assert said.startswith(
        "checkpoint org/name: the hub's Xet storage (https://cas-server.xethub.hf.co) cannot be reached"
    )
    assert "HF_HUB_DISABLE_XET=1" in said
