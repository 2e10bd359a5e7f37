"""The real client over a few small requests; its books must balance."""

from harness.config.slo import Slo
from harness.loadgen.client.requests import make_request
from harness.loadgen.client.schedule import run_schedule
from harness.loadgen.client.trace import Asked
from harness.loadgen.metrics import summarize
from harness.loadgen.samples import sample
from harness.records.point import LoadPoint

TOKENS = 6


def run(server, times, *, concurrency=None, tokens=TOKENS, request_timeout_s=5.0, cell_timeout_s=20.0, **options):
    requests = [make_request(n, t, server.model, [1, 2, 3, n], Asked(4, tokens)) for n, t in enumerate(times)]
    schedule = run_schedule(
        server,
        requests,
        concurrency=concurrency,
        request_timeout_s=request_timeout_s,
        cell_timeout_s=cell_timeout_s,
        **options,
    )
    with schedule as recording:
        samples = [sample(trace, asked) for trace, asked in zip(recording.traces, recording.asked, strict=True)]
    result = summarize(samples, point=LoadPoint("throughput", None, len(times)), slo=Slo.of()).to_json()
    ends = result["requests_completed"] + result["requests_failed"] + result["requests_cancelled"]
    assert result["requests_sent"] == ends
    assert result["requests_sent"] + result["requests_unsent"] == len(times)
    return samples, result
