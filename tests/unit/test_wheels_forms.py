"""The checks of `make wheels` know every sweep; their forms can be read by our inspection. No wheel is needed."""

import pytest

from tests.wheels import forms, studies
from tests.wheels.expected import RUNS


def test_every_sweep_is_checked():
    studies.check_every_sweep_is_here()


@pytest.mark.slow
@pytest.mark.parametrize("sweep", [name for name, study in studies.STUDIES.items() if study.forms])
def test_every_variant_has_a_form(sweep):
    study = studies.STUDIES[sweep]
    served = studies.served(sweep)
    assert set(served) == set(study.forms), "each form is of a session"
    assert {form for form, _ in served.values()} <= set(RUNS[study.engine, study.gpu])
    assert {name.partition("@")[0] for name in study.forms} == served_variants(sweep), "no variant is left out"


def served_variants(sweep: str) -> set[str]:
    """Those that vLLM serves, by the name of the variant that a deployment is of."""
    known = studies.planned(sweep)[0].variants
    heads = {s.variant or s.label: known.get(s.variant) for s in studies.sessions(sweep)}
    return {
        (head and head.deployment_of) or name
        for name, head in heads.items()
        if head is None or (head.needs.engine or "vllm").startswith("vllm")
    }


def test_every_expected_form_is_written(tmp_path):
    for form in {form for forms_of in RUNS.values() for form in forms_of}:
        assert (forms.write(form, tmp_path / form) / "config.json").is_file()
