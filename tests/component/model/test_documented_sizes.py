"""Sizes of models that the documentation states are those of the models that the presets build."""

from __future__ import annotations

import re

import pytest

from pipelines import models
from pipelines.code_digest import ROOT
from pipelines.presets import PRESETS
from rxt_model.size import size_of


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def millions(preset: str) -> dict[str, float]:
    config = PRESETS[preset]()
    model = config.pretrain.model.with_vocabulary(config.tokenizer.vocab_size)
    return {part.name: part.parameters / 1e6 for part in size_of(model).parts}


def test_sizes_of_tiny():
    text = " ".join(page("README.md").split())
    whole, with_head = re.search(r"has (\S+) M parameters, and (\S+) M with the head", text).groups()
    found = millions("tiny")
    assert (whole, with_head) == (f"{found['whole']:.2f}", f"{found['whole with MLM head']:.2f}")


@pytest.mark.parametrize(
    ("preset", "pattern", "unit", "form"),
    [
        ("tiny", r"`tiny` \| (\S+) M parameters", 1, ".2f"),
        ("small", r"`small` \| (\S+) M parameters", 1, ".1f"),
        ("micro", r"`micro` \| the shape of RxT-Alpha Micro, (\S+) M", 1, ".1f"),
        ("beta", r"`beta` \| RxT-Beta, (\S+) B", 1e3, ".2f"),
    ],
)
def test_sizes_of_presets(preset, pattern, unit, form):
    assert re.search(pattern, page("docs/stages.md"))[1] == format(millions(preset)["whole"] / unit, form)


def test_the_command_prints_what_the_page_shows(capsys):
    models.show("beta", None, [], False)
    printed = [line.rstrip() for line in capsys.readouterr().out.strip().splitlines()]
    shown = re.search(r"rxt model show beta\n(.*?)\n```", page("docs/model.md"), re.DOTALL)[1].splitlines()
    assert printed == shown
