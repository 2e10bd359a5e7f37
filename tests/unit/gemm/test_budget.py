"""Which batch sizes a kernel is too slow for, from how its time grew so far. The worker's own code, without torch."""

import sys

import pytest

from harness.engines.vllm_gemm import FORMATS as GEMM_FORMATS
from harness.engines.vllm_gemm import GEMM_WORKER
from harness.gemm.formats import FORMATS

sys.path.append(str(GEMM_WORKER))
from gemm_main import Product, too_long


def product(*took):
    return Product("bf16", "a kernel", None, None, [], list(took))


@pytest.mark.parametrize(
    ("took", "batch", "left_out"),
    [
        ([], 8192, False),  # nothing is known yet
        ([(1, 0.3)], 16, True),  # in proportion: 4.8 s, twice, of 5
        ([(1, 0.3), (2, 0.3)], 16, False),  # it waits for memory: 0.3 s still
        ([(1, 0.3), (2, 0.6)], 16, True),  # it grows in proportion
        ([(1, 0.3), (2, 0.1)], 16, False),  # noise does not make it shrink
        ([(256, 0.3), (512, 0.9)], 1024, False),  # nor grow faster than the batch: 1.8 s
        ([(512, 3.0)], 512, True),
    ],
)
def test_a_batch_size_is_left_out_by_how_the_time_grew(took, batch, left_out):
    said = too_long(product(*took), batch, 5.0)
    assert bool(said) is left_out
    assert said is None or "gemm.max_point_s=5" in said


def test_the_engine_offers_formats_that_schemes_have():
    assert set(GEMM_FORMATS["cpu"]) < set(GEMM_FORMATS["cuda"]) == set(FORMATS.values())
