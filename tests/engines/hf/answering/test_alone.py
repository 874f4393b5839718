"""Rows that are asked one by one: each as if it were the first that the model sees."""

from dataclasses import replace

import pytest
from families import FAMILY_BY_FAMILY_NAME, build
from family_sweep import LONG_CHOICES, Plain, prompts, spec_of

from engines.hf.engine import HFEngine
from modeltest.api import Request, TokenPrompt
from modeltest.models.checkpoint import inspect_checkpoint


@pytest.mark.parametrize("name", ["llama_dynamic", "phi3_longrope"])
def test_a1_no_row_depends_on_how_long_the_rows_before_it_were(name, tmp_path):
    family = FAMILY_BY_FAMILY_NAME[name]
    directory = build(family, tmp_path / name)
    spec = replace(spec_of("hf_fp32", directory), max_position_embeddings=family.stretched_to)
    engine = HFEngine()
    engine.load(spec, inspect_checkpoint(spec))
    # Each prompt is asked of a model that has seen nothing before.
    expected = {ids: Plain.load(directory).choices(ids, LONG_CHOICES) for ids in prompts(32)[4:7]}
    for order in (1, -1):
        asked = [
            Request(str(at), TokenPrompt(ids), choices=LONG_CHOICES)
            for at, ids in enumerate(list(expected)[::order])
        ]
        for batch in engine.complete(asked, batch_size=8):
            for completion in batch:
                ids = asked[int(completion.request_id)].prompt.ids
                assert completion.choice_logprobs == pytest.approx(expected[ids], abs=1e-4)
