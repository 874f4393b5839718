"""Reference packs that the engine `fake` answers: one whose reference it is, and one of another model."""

from dataclasses import replace
from pathlib import Path
from random import Random

from made_packs import computation, letters, made_pack, text

from modeltest.acceptance.asking import PackScorer
from modeltest.api import Pack, PackAnswer, PackOptions, Role, RunSpec, TaskOptions
from modeltest.packs.files import write_pack
from modeltest.run.planning.plan import plan
from modeltest.run.supervisor.launch import launch
from modeltest.run.supervisor.progress import Silence


def write_fake_packs(folder: Path) -> Path:
    """Write `same.ref` and `other.ref` into `folder`, of 120 questions and 100 texts, and return it."""
    questions = [letters(number) for number in range(120)]
    draft = made_pack(questions, [text(number, tokens=16) for number in range(100)], twins={})
    options = PackOptions(str(folder / "draft.ref"), write_pack(folder / "draft.ref", draft))
    spec = RunSpec(
        *("fake", "pack_answers", "pack_answers", "auto", "none"),
        options=TaskOptions(pack=options),
        batch_sizes=((16,),),
        output_dir=str(folder / "out"),
    )
    outcome = launch(plan(spec), command=None, progress=Silence())
    scorer = PackScorer(draft)
    told = {sample.score.request_id: scorer.answer(sample) for sample in outcome.result.samples}
    write_pack(folder / "same.ref", _pack(draft, told))
    other = {
        name: replace(answer, logprobs=tuple(each - 0.5 for each in answer.logprobs))
        if name.startswith("text/")
        else answer
        for name, answer in told.items()
    }
    write_pack(folder / "other.ref", _pack(draft, other))
    return folder


def _pack(draft: Pack, told: dict[str, PackAnswer]) -> Pack:
    random = Random(0)
    twin = {
        name: replace(answer, logprobs=tuple(each + random.gauss(0, 0.01) for each in answer.logprobs))
        for name, answer in told.items()
        if name.startswith("text/")
    }
    twin |= {name: answer for name, answer in told.items() if not name.startswith("text/")}
    computations = (computation("reference", Role.REFERENCE), computation("twin"))
    return replace(
        draft,
        manifest=replace(draft.manifest, computations=computations),
        answers={"reference": told, "twin": twin},
    )
