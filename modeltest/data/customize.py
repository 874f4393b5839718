"""`customize`: the user's own prompts for timed runs, `DATA_DIR/customize/customize.jsonl`.

One JSON object a line; its `question` is the prompt, other keys are passed over. The name, the place and the
key are those of MindIE-LLM's tests/modeltest.
"""

from __future__ import annotations

from modeltest.api import DatasetError, DatasetInfo, TaskData
from modeltest.data.card import (
    AnswerKind,
    DatasetCard,
    FileFormat,
    HubRows,
    HubSource,
    Role,
    SplitCard,
)
from modeltest.data.load import DATA_DIR_VARIABLE, data_directory
from modeltest.data.loaded import FULL, LoadedDataset
from modeltest.data.rows import files_sha256
from modeltest.data.stored import records_of

_SPLIT = SplitCard(
    role=Role.EVALUATION, name="customize", files="customize.jsonl", columns=("question",), rows=0
)

CARD = DatasetCard(
    name="customize",
    title="the user's own prompts",
    licence="",
    homepage="",
    archives=(),
    hub_ids=(),
    format=FileFormat.JSONL,
    answers=AnswerKind.NONE,
    fields=("question",),
    hub=HubSource("", "", HubRows.COLUMNS),
    splits=(_SPLIT,),
    subjects={"customize": {}},
    prompt_field="question",
)


def load_customize(data_dir: str | None, *, limit: int | None = None) -> LoadedDataset:
    """Read the user's prompts, at most `limit`.

    Raises: DatasetError when the file is absent or malformed, or a prompt is empty.
    """
    folder = data_directory(data_dir) / CARD.name
    path = folder / _SPLIT.files
    if not path.is_file():
        raise DatasetError(
            f"your own prompts are not in {path}; write them there, one a line as "
            '{"question": "the prompt"}, or say with --data-dir or '
            f"{DATA_DIR_VARIABLE} which folder holds {CARD.name}/"
        )
    records = records_of(CARD, _SPLIT, {CARD.name: path}, limit=limit)
    for number, record in enumerate(records, start=1):
        if not record.fields["question"].strip():
            raise DatasetError(f"{path}: the question of row {number} is empty; expected a prompt")
    info = DatasetInfo(
        name=CARD.name,
        split=FULL,
        path=str(folder),
        sha256=files_sha256([path]),
        official=False,
        records=len(records),
        subjects=1,
    )
    return LoadedDataset(TaskData(records, {}, CARD.subjects), info)
