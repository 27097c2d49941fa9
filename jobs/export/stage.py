"""Stage `export` writes a folder with weights, config, tokenizer and model card, reads it back and compares it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec
import torch
from torch import Tensor

from jobs.configs.evaluation import ExportConfig
from jobs.export.model_card import lineage, write_card
from jobs.stage.context import Restart, StageContext, StageError
from jobs.stage.inputs import open_tokenizer, usable
from jobs.stage.model_folder import load_reactive, require_tokenizer, upload
from jobs.stage.model_input import open_reactive
from rxt_model.files.checkpoint import save_pretrained
from rxt_model.model import ReactiveTransformer
from rxt_model.size import active_parameters, parameters
from tokenization.bpe.tokenizer import Tokenizer

CHECK_ROWS, CHECK_SEED = 4, 0


def export(ctx: StageContext, config: ExportConfig) -> dict[str, float | str]:
    """Write config.json, weights, tokenizer.json and README.md below `ctx.output_uri`. Raises StageError for unusable
    inputs, and if the export read back differs."""
    tokenizer = open_tokenizer(ctx.inputs["tokenizer"])
    model = open_reactive(ctx.inputs["model"])
    require_tokenizer(model.config.tokenizer_digest, "the model", tokenizer)
    evaluation = ctx.inputs["evaluation"]
    with usable(evaluation), fsspec.open(f"{evaluation.uri}/report.md", "r", encoding="utf-8") as file:
        report = file.read()
    with TemporaryDirectory(prefix="rxt-export-") as folder:
        save_pretrained(model, folder, tokenizer_json=tokenizer.json)
        card = Path(folder) / "README.md"
        card.write_text(write_card(config.name, model, lineage(ctx.inputs["model"]), report), encoding="utf-8")
        upload(Path(folder), ctx.output_uri)
        ctx.reporter.file(str(card))
    check(model, tokenizer, ctx.output_uri)
    size = parameters(model)
    return {
        "export/parameters": size,
        "export/active_parameters": active_parameters(model),
        "result": f"{size / 1e6:.2f} M parameters",
    }


def check(model: ReactiveTransformer, tokenizer: Tokenizer, uri: str) -> None:
    """Raise StageError unless the folder at `uri` has the same tokenizer and gives the model's logits bit for bit."""
    found = Tokenizer.load(f"{uri}/tokenizer.json")
    require_tokenizer(found.digest, "the export", tokenizer)
    difference = (fixed_logits(load_reactive(uri)) - fixed_logits(model)).abs().max().item()
    if difference != 0:
        raise StageError(
            f"{uri}: the export was read back, and its logits differ by up to {difference:.3g}",
            Restart(),
        )


@torch.inference_mode()
def fixed_logits(model: ReactiveTransformer) -> Tensor:
    """Logits [B, T, V] after one memory write. Ids and initial memory depend on the model's shape alone."""
    generator = torch.Generator().manual_seed(CHECK_SEED)
    shape = (CHECK_ROWS, min(model.config.length, 32))
    ids = torch.randint(model.config.vocab_size, shape, generator=generator)
    mask = torch.ones_like(ids, dtype=torch.bool)
    start = model.initial_memory(CHECK_ROWS, generator)
    memory = model.write(start, model.encode(ids, mask, memory=start), mask)
    return model.logits(model.decode(ids, memory))
