"""`rxt own-words` plays dialogues in people's own words with a trained model, and prints how much it remembered."""

from __future__ import annotations

import json
from pathlib import Path

from jobs.evaluation.own_words.playing import play_own_words
from jobs.evaluation.own_words.reader import read_own_words
from jobs.evaluation.own_words.tables import answer_lines, summarise, write_tables
from jobs.stage.context import Artifact, StageError
from jobs.stage.inputs import open_tokenizer
from jobs.stage.model_folder import require_tokenizer
from jobs.stage.model_input import model_uri, open_model

BATCH = 32  # dialogues at a time


def show(model: Artifact, tokenizer: Artifact, header: str, dialogues: str, save: Path | None, as_json: bool) -> None:
    """Print the table, and write the model's own answers to `save`, a JSON object a line. Raises StageError for a file
    that cannot be read or written, and for a model that does not belong to the tokenizer."""
    own = read_own_words(dialogues)
    if save and not save.absolute().parent.is_dir():
        raise StageError(f"--save {save}: there is no folder {save.absolute().parent}", f"mkdir -p {save.parent}")
    opened, reader = open_model(model), open_tokenizer(tokenizer)
    require_tokenizer(opened.config.tokenizer_digest, model_uri(model), reader)
    played = play_own_words(opened, reader, own.dialogues, BATCH)
    if save:
        lines = answer_lines(own, next(iter(played.answers.values())), played.cut)
        try:
            save.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        except OSError as error:
            raise StageError(f"--save {save}: {error}") from error
    summary = summarise(own, [played])
    if as_json:
        made = {"stage": model.stage, "artifact_id": model.artifact_id, "answers": str(save) if save else None}
        print(json.dumps(made | summary, indent=2))
        return
    print(f"{header}\n{model.stage}/{model.artifact_id}   {dialogues}\n\n{write_tables(summary)}")
    if save:
        print(f"answers: {save}")
