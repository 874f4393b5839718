"""Every causal family: an engine says what transformers says of each prompt alone, or refuses the family.

What each family gets stands in docs/checkpoints.md. `MODELTEST_WRITE_FAMILIES=1 bash run.sh test -n 0 -m long
tests/engines/hf/test_families.py` writes the table anew.
"""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from families import FAMILIES, FAMILY_BY_FAMILY_NAME, Family, build
from family_sweep import Plain, TableRow, spec_of, sweep, ways_of

from engines.hf.engine import HFEngine
from engines.hf.paged.continuous_batching import obstacle
from engines.hf.paged.engine import HFPagedEngine
from engines.hf.ranks.splitting import check_split
from modeltest.api import PrerequisiteError
from modeltest.models.checkpoint import inspect_checkpoint

pytestmark = pytest.mark.skipif(obstacle() is not None, reason=f"the families of this version: {obstacle()}")

QUICK = (
    "llama",
    "mixtral",
    "gpt_oss",
    "gemma3",
    "llama4_text",
    "phi3_longrope",
    "llama_dynamic",
    "deepseek_v3",
    "bloom",
    "mamba",
    "bamba",
    "rwkv",
)
"""Those that differ most, with one size of batch."""

PAGE = Path(__file__).resolve().parents[3] / "docs" / "checkpoints.md"


@pytest.mark.parametrize("name", QUICK)
def test_families_that_differ_most_say_what_transformers_says(name, tmp_path):
    _check(FAMILY_BY_FAMILY_NAME[name], tmp_path, batch_sizes=(8,))


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_says_what_transformers_says(family, tmp_path):
    _check(family, tmp_path, batch_sizes=(1, 8))


def test_the_table_has_a_line_for_every_family():
    text = PAGE.read_text(encoding="utf-8")
    assert [*_lines(text)] == [family.name for family in FAMILIES]
    ways = [re.split(r" *\| *", line)[2] for line in _lines(text).values()]
    said = ", ".join(f"{ways.count(way)} {way}" for way in ("packed", "padded", "one by one"))
    assert f"{len(ways)} tiny checkpoints: {said}; none refused." in text


def _check(family: Family, folder: Path, *, batch_sizes: tuple[int, ...]) -> None:
    directory = build(family, folder / family.name)
    plain = Plain.load(directory)
    hf = _loaded(HFEngine(), "hf_fp32", directory, family)
    # RWKV of transformers mixes up the rows of a batch, so that only one may be timed.
    assert _but_timed_rwkv(family, sweep(hf, family, plain, batch_sizes=batch_sizes).trouble) == []
    ways = ways_of(hf)
    hf.close()
    try:
        paged = _loaded(HFPagedEngine(), "pa_fp16", directory, family)
    except PrerequisiteError as refusal:
        if "use an hf word" not in str(refusal):
            raise
        is_paged = False
    else:
        assert sweep(paged, family, plain, batch_sizes=batch_sizes[-1:]).trouble == []
        is_paged = True
        paged.close()
    row = TableRow.of(family.name, ways, paged=is_paged, split=_is_split(directory))
    if os.environ.get("MODELTEST_WRITE_FAMILIES"):
        _write(row)
    assert _lines(PAGE.read_text(encoding="utf-8"))[family.name] == row.line()


def _but_timed_rwkv(family: Family, trouble: list[str]) -> list[str]:
    if family.name != "rwkv":
        return trouble
    return [each for each in trouble if "mixes up the rows of a batch" not in each]


def _loaded(engine: HFEngine, word: str, directory: Path, family: Family) -> HFEngine:
    spec = replace(spec_of(word, directory), max_position_embeddings=family.stretched_to)
    info = inspect_checkpoint(spec)
    engine.check(spec, info)
    engine.load(spec, info)
    return engine


def _is_split(directory: Path) -> bool:
    try:
        check_split(inspect_checkpoint(spec_of("hf_fp32", directory)), 2)
    except PrerequisiteError:
        return False
    return True


def _lines(text: str) -> dict[str, str]:
    """Return the lines of the table of families by their names."""
    table = text.partition("## Families")[2]
    return {match[1]: match[0] for match in re.finditer(r"^\| `([^`]+)` \|.*$", table, re.MULTILINE)}


def _write(row: TableRow) -> None:
    text = PAGE.read_text(encoding="utf-8")
    before = _lines(text)[row.family]
    PAGE.write_text(text.replace(before, row.line()), encoding="utf-8")
