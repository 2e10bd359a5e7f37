"""What is said of a scheme that nobody has inspected."""

from harness.config.schemes import claimed_words, scheme_words
from harness.config.variants import Format, Scheme


def test_an_endpoint_without_a_scheme_is_unknown_and_not_bf16():
    assert scheme_words(Scheme())["weights"] == "bf16"
    assert claimed_words(Scheme())["weights"] == claimed_words(Scheme())["activations"] == "unknown"


def test_a_scheme_that_the_sweep_claims_is_not_inspected():
    claimed = Scheme(weights=Format(8, "float"), activations=Format(8, "float"))
    assert claimed_words(claimed)["weights"] == "fp8 e4m3 (not inspected)"
