"""`rxt own-words` plays dialogues in people's own words with a trained model, and prints how much it remembered."""

from __future__ import annotations

import json
import os
from pathlib import Path

from jobs.evaluation.own_words.playing import play_own_words
from jobs.evaluation.own_words.reader import read_own_words
from jobs.evaluation.own_words.tables import answer_lines, summarise, write_tables
from jobs.stage.context import Artifact, StageError
from jobs.stage.inputs import open_tokenizer
from jobs.stage.model_folder import require_tokenizer
from jobs.stage.model_input import model_uri, open_model

BATCH = 32  # dialogues at a time
_ELSEWHERE = "--save FILE, a new one or one with answers"


def show(model: Artifact, tokenizer: Artifact, header: str, dialogues: str, save: Path | None, as_json: bool) -> None:
    """Print the table, and write the model's own answers to `save`, a JSON object a line. Raises StageError for a file
    that cannot be read or written, and for a model that does not belong to the tokenizer. `save` replaces no file but
    one with answers."""
    own = read_own_words(dialogues)
    if save:
        _check_place(save)
    opened, reader = open_model(model), open_tokenizer(tokenizer)
    require_tokenizer(opened.config.tokenizer_digest, model_uri(model), reader)
    played = play_own_words(opened, reader, own.dialogues, BATCH)
    summary = summarise(own, [played])
    if as_json:
        made = {"stage": model.stage, "artifact_id": model.artifact_id, "answers": str(save) if save else None}
        print(json.dumps(made | summary, indent=2))
    else:
        print(f"{header}\n{model.stage}/{model.artifact_id}   {dialogues}\n\n{write_tables(summary)}", flush=True)
    if save:
        lines = answer_lines(own, next(iter(played.answers.values())), played.cut)
        try:
            save.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        except OSError as error:
            raise StageError(
                f"--save {save}: {error.strerror or error}; the table above is whole", _ELSEWHERE
            ) from error
        if not as_json:
            print(f"answers: {save}")


def _check_place(save: Path) -> None:
    folder = save.absolute().parent
    if save.is_dir():
        raise StageError(f"--save {save}: is a folder", f"--save {save / 'answers.jsonl'}")
    if not folder.is_dir():
        raise StageError(f"--save {save}: there is no folder {folder}", f"mkdir -p {save.parent}")
    if not os.access(folder, os.W_OK) or (save.exists() and not os.access(save, os.W_OK)):
        raise StageError(f"--save {save}: you may not write there", _ELSEWHERE)
    if save.is_file() and not _holds_answers(save):
        raise StageError(f"--save {save}: that file holds something else than answers, and stays", _ELSEWHERE)


def _holds_answers(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            first = opened.readline(1 << 20)
        line = json.loads(first or '{"turn": 0, "answer": ""}')
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(line, dict) and {"turn", "answer"} <= line.keys()
