"""Continuous batching and its pacing: what holds for every step, and what can be worked out by hand."""

import math
import random
from itertools import pairwise

import pytest

from harness.engines.simulated.batching import ContinuousBatching, Sequence, simulate
from harness.engines.simulated.pacing import BatchedSchedule, FixedSchedule, Replicas
from harness.engines.simulated.roofline import HARDWARE, SCHEMES, SHAPES, Roofline

LLAMA = Roofline(HARDWARE["h100"], SHAPES["llama-3.1-8b"], SCHEMES["fp8"])


def a_second_a_step(batch) -> float:
    return 1.0


def traffic(count: int = 300, rate_rps: float = 40.0, seed: int = 5) -> list[tuple[float, int, int]]:
    drawn, arrival_s, found = random.Random(seed), 0.0, []
    for _ in range(count):
        arrival_s += drawn.expovariate(rate_rps)
        found.append((arrival_s, drawn.randint(1, 3000), drawn.randint(1, 200)))
    return found


def limited(**changes) -> ContinuousBatching:
    limits = {"max_num_seqs": 16, "max_num_batched_tokens": 512, "kv_cache_tokens": 20_000, "jitter": 0.05, "seed": 3}
    return ContinuousBatching(LLAMA.step_s, **(limits | changes))


@pytest.fixture(scope="module")
def replayed():
    """Every step of a busy hour: (batching, step, how many ran, which were emitted, which were finished)."""
    batching, sequences = limited(), [Sequence(*one) for one in traffic()]
    for sequence in sequences:
        batching.add(sequence)
    now, steps = 0.0, []
    while batching.has_work():
        if not batching.running:
            now = max(now, batching.waiting[0].arrival_s)
        step = batching.step(now)
        steps.append((now, step, batching.running, batching.kv_reserved, list(step.emitted), list(step.finished)))
        now += step.duration_s
        batching.retire()
    return sequences, steps


def test_every_request_gets_exactly_its_tokens_one_a_step(replayed):
    sequences, steps = replayed
    emitted = {id(sequence): 0 for sequence in sequences}
    for _, _, _, _, given, finished in steps:
        assert len(set(map(id, given))) == len(given)
        for sequence in given:
            emitted[id(sequence)] += 1
        for sequence in finished:
            assert emitted[id(sequence)] == sequence.output_tokens
    assert [emitted[id(s)] for s in sequences] == [s.output_tokens for s in sequences]


def test_the_limits_hold_at_every_step(replayed):
    _, steps = replayed
    assert max(step.batch.tokens for _, step, *_ in steps) == 512, "the budget is used up, and never exceeded"
    assert max(running for _, _, running, *_ in steps) <= 16
    assert 15_000 < max(reserved for _, _, _, reserved, *_ in steps) <= 20_000


def test_nobody_is_served_before_it_came_nor_before_who_came_earlier(replayed):
    sequences, steps = replayed
    first = {}
    for now, _, _, _, given, _ in steps:
        for sequence in given:
            first.setdefault(id(sequence), len(first))
            assert sequence.arrival_s <= now
    assert [first[id(s)] for s in sequences] == sorted(first.values()), "first come, first token"


def test_all_tokens_of_prompts_are_computed_once(replayed):
    sequences, steps = replayed
    computed = sum(step.batch.tokens for _, step, *_ in steps)
    decoded = sum(s.output_tokens - 1 for s in sequences)  # the first comes out of the prefill
    assert computed == sum(s.prompt_tokens for s in sequences) + decoded


def test_simulate_says_the_same_as_the_steps(replayed):
    sequences, steps = replayed
    expected = {id(sequence): [] for sequence in sequences}
    for now, step, _, _, given, _ in steps:
        for sequence in given:
            expected[id(sequence)].append(now + step.duration_s)
    assert simulate(limited(), traffic()) == [expected[id(s)] for s in sequences]


def test_a_server_that_reads_in_time_sends_when_simulate_says():
    pace = BatchedSchedule(limited())
    sequences = [Sequence(*one) for one in traffic()]
    due: dict[int, list[float]] = {id(sequence): [] for sequence in sequences}
    unread = list(sequences)
    while unread or pace.due_s() < math.inf:
        if unread and unread[0].arrival_s <= pace.due_s():
            pace.add(unread.pop(0))
            continue
        moment = pace.due_s()
        for sequence in pace.take():
            due[id(sequence)].append(moment)
    assert [due[id(sequence)] for sequence in sequences] == simulate(limited(), traffic())


def test_equal_seeds_give_equal_times_and_others_do_not():
    assert simulate(limited(), traffic()) == simulate(limited(), traffic())
    assert simulate(limited(seed=4), traffic()) != simulate(limited(), traffic())


def test_jitter_leaves_the_mean():
    one = [(0.0, 1, 20_000)]
    [calm], [shaken] = (simulate(ContinuousBatching(a_second_a_step, jitter=jitter), one) for jitter in (0.0, 0.2))
    assert calm[-1] == 20_000
    assert shaken[-1] == pytest.approx(20_000, rel=0.01)
    gaps = sorted(b - a for a, b in pairwise(shaken))
    assert math.log(gaps[int(0.8413 * len(gaps))] / gaps[len(gaps) // 2]) == pytest.approx(0.2, rel=0.05)


def test_times_worked_out_by_hand():
    # A budget of 4: the prompt of 6 takes two steps; the second request waits for the place, then joins.
    batching = ContinuousBatching(a_second_a_step, max_num_seqs=2, max_num_batched_tokens=4)
    assert simulate(batching, [(0.0, 6, 3), (0.5, 1, 2), (0.6, 1, 1), (10.0, 1, 1)]) == [
        [2.0, 3.0, 4.0],  # steps 1 and 2 read its prompt, and step 2 gives the first token
        [2.0, 3.0],  # step 2 has two tokens left for it
        [4.0],  # no third place until step 3 has ended
        [11.0],  # an idle engine starts when a request comes
    ]


def test_throughput_is_what_the_roofline_gives():
    # 64 at once, all decoding: each step computes 64 tokens, whose context grows by one a step.
    tokens, prompt = 200, 8
    times = simulate(ContinuousBatching(LLAMA.step_s), [(0.0, prompt, tokens)] * 64)
    assert {tuple(each) for each in times} == {tuple(times[0])}
    weights_s = LLAMA.weight_bytes / (0.8 * 3.35e12)
    context_s = [64 * (prompt + step) * 128 * 1024 / (0.8 * 3.35e12) for step in range(1, tokens)]
    took_s = sum(weights_s + each + 1e-3 for each in context_s)
    assert times[0][-1] - times[0][0] == pytest.approx(took_s, rel=1e-6)


def test_what_never_fits_is_refused_and_so_is_a_budget_too_small():
    with pytest.raises(ValueError, match="KV cache holds 20000"):
        limited().add(Sequence(0.0, 19_999, 2))
    with pytest.raises(ValueError, match="max_num_seqs=8"):
        ContinuousBatching(a_second_a_step, max_num_seqs=8, max_num_batched_tokens=4)
    with pytest.raises(ValueError, match="at least one token"):
        Sequence(0.0, 0, 1)


@pytest.mark.parametrize("moment", ["waiting", "prefilling", "decoding", "finishing"])
def test_cancelling_frees_the_place_and_stops_the_tokens(moment):
    pace = BatchedSchedule(ContinuousBatching(a_second_a_step, max_num_seqs=1, max_num_batched_tokens=4,
                                              kv_cache_tokens=100))  # fmt: skip
    first, second = Sequence(0.0, 6, 3), Sequence(0.0, 1, 1)
    pace.add(first)
    pace.add(second)
    gone, stays = (second, first) if moment == "waiting" else (first, second)
    seen = []
    for _ in range({"waiting": 0, "prefilling": 0, "decoding": 2, "finishing": 3}[moment]):
        seen += pace.take()
    pace.cancel(gone)
    while pace.due_s() < math.inf:
        assert pace.due_s() < 20
        seen += [sequence for sequence in pace.take() if sequence is not gone]
    assert seen.count(stays) == stays.output_tokens
    assert (pace.running, pace.waiting, pace.kv_usage) == (0, 0, 0.0)


def test_a_step_is_due_at_an_absolute_time_however_late_it_is_taken():
    pace = BatchedSchedule(ContinuousBatching(a_second_a_step))
    pace.add(Sequence(100.0, 1, 3))
    due = []
    for _ in range(3):
        due.append(pace.due_s())
        pace.take()  # whenever the server came to it
    assert due == [101.0, 102.0, 103.0]
    assert pace.due_s() == math.inf
    pace.add(Sequence(102.5, 1, 1))  # read late, while the last step was on its way: it waits for the step's end
    assert pace.due_s() == 104.0


def test_a_fixed_schedule_is_the_formula():
    pace = FixedSchedule(ttft_s=0.5, gap_s=0.25)
    sequences = [Sequence(10.0, 1, 3), Sequence(10.1, 1, 2), Sequence(10.2, 1, 4)]
    for sequence in sequences:
        pace.add(sequence)
    assert pace.running == 3
    seen = {id(sequence): [] for sequence in sequences}
    order = []
    while pace.due_s() < math.inf:
        due_s = pace.due_s()
        order.append(due_s)
        for sequence in pace.take():
            seen[id(sequence)].append(due_s)
        if len(order) == 4:
            pace.cancel(sequences[2])
    assert order == sorted(order)
    for sequence in sequences[:2]:
        expected = [sequence.arrival_s + 0.5 + k * 0.25 for k in range(sequence.output_tokens)]
        assert seen[id(sequence)] == expected
    assert len(seen[id(sequences[2])]) == 1, "it was cancelled after its first token"
    assert pace.running == 0


def test_without_chunks_a_prompt_is_read_in_one_step_or_waits():
    arrivals = [(0.0, 90, 3), (0.0, 100, 1), (0.0, 5, 1)]
    options = {"max_num_seqs": 8, "max_num_batched_tokens": 100}
    chunked = simulate(ContinuousBatching(a_second_a_step, **options), arrivals)
    assert chunked == [[1, 2, 3], [2], [2]], "ten of the second prompt's hundred are read beside the first"
    whole = simulate(ContinuousBatching(a_second_a_step, chunked_prefill=False, **options), arrivals)
    assert whole == [[1, 2, 3], [4], [5]], "no step beside a decoding sequence has room for a hundred"
    with pytest.raises(ValueError, match="101 prompt tokens; a step without chunks takes 100"):
        ContinuousBatching(a_second_a_step, chunked_prefill=False, **options).add(Sequence(0.0, 101, 1))


def test_replicas_share_the_requests_and_keep_them():
    def one() -> BatchedSchedule:
        return BatchedSchedule(ContinuousBatching(a_second_a_step, max_num_seqs=1))

    both = Replicas([one(), one()])
    sequences = [Sequence(0.0, 1, 2), Sequence(0.25, 1, 2), Sequence(0.5, 1, 2), Sequence(0.5, 1, 9)]
    for sequence in sequences:
        both.add(sequence)
    both.cancel(sequences[3])
    assert (both.running, both.waiting) == (2, 1)
    seen = []
    while both.due_s() < math.inf:
        due_s = both.due_s()
        seen += [(due_s, sequences.index(sequence)) for sequence in both.take()]
    assert seen == [(1, 0), (1.25, 1), (2, 0), (2.25, 1), (3, 2), (4, 2)]
    assert (both.running, both.waiting, both.kv_usage) == (0, 0, 0)
