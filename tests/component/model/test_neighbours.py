"""Neighbours in the input: how they start, what they must not see, and the rival's share of them."""

import pytest
import torch

from rxt_model.baseline import StatelessDecoder, matching_config
from rxt_model.config import AttentionConfig
from rxt_model.files.checkpoint import from_pretrained, save_pretrained
from rxt_model.generate import Decoding
from rxt_model.layers.parts import NEIGHBOUR, Neighbours
from rxt_model.model import ReactiveTransformer, seeded
from rxt_model.size import active_parameters
from tests.support.models import small_config, small_model


@torch.no_grad()
def test_every_offset_starts_as_a_rotation_of_its_own():
    model = small_model(encoder_neighbours=(1, 3, -1))
    blocks = model.encoder.neighbours.weight.unflatten(1, (3, -1)).unbind(1)
    for block in blocks:
        torch.testing.assert_close(block @ block.T, NEIGHBOUR**2 * torch.eye(32), rtol=0, atol=1e-5)
    assert all((one - other).abs().max() > 0.05 for one, other in [blocks[:2], blocks[1:]])


@torch.no_grad()
def test_a_neighbour_is_heard_by_its_own_offset_alone():
    """Ten tokens in documents of 4, 1 and 5: a change of one is seen where an offset reaches it, and only there."""
    shift = Neighbours(8, (1, 3, -2))
    positions = torch.tensor([0, 1, 2, 3, 0, 0, 1, 2, 3, 4])
    document = torch.tensor([0] * 4 + [1] + [2] * 5)
    x = torch.randn(10, 8)
    for changed in range(10):
        other = x.clone()
        other[changed] += 1
        heard = (shift(other, positions) != shift(x, positions)).any(1).nonzero().flatten().tolist()
        near = [changed, changed + 1, changed + 3, changed - 2]
        assert heard == sorted(at for at in near if 0 <= at < 10 and document[at] == document[changed])


def test_a_model_with_neighbours_is_saved_and_loaded(tmp_path):
    model = small_model(encoder_neighbours=(1, 2, -1), decoder_neighbours=(1,))
    save_pretrained(model, tmp_path)
    loaded = from_pretrained(tmp_path)
    assert loaded.config == model.config
    assert loaded.state_dict().keys() == model.state_dict().keys() >= {"encoder.neighbours.weight"}
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in model.state_dict().items())


def test_models_without_neighbours_are_drawn_as_ever():
    """The parameters that both have start equal, whatever neighbours draw."""
    assert not any("neighbours" in name for name in small_model().state_dict())


def test_the_rival_has_what_a_causal_decoder_can_have():
    """As many heads as the memory read, and the encoder's neighbours before a token, at the same active size."""
    reading = dict(decoder_attention=AttentionConfig(2, 1, gate="elementwise"), cross_attention=AttentionConfig(4, 2))
    config = small_config(encoder_neighbours=(2, 1, -1), decoder_neighbours=(4,), **reading)
    rival = matching_config(config)
    assert rival.decoder_attention == AttentionConfig(4, 2, gate="elementwise")
    assert rival.decoder_neighbours == (1, 2, 4)
    built = StatelessDecoder(rival)
    target = active_parameters(ReactiveTransformer(config, mlm_head=False))
    assert active_parameters(built) == pytest.approx(target, rel=0.05)
    assert built.decoder.stateful[0].attention.query_heads == 4


@torch.no_grad()
def test_the_rival_answers_from_its_cache_as_from_the_whole_history():
    shape = matching_config(small_config(encoder_neighbours=(1, 2, 3, -1)))
    rival = seeded(lambda: StatelessDecoder(shape), 0).eval()
    rows = [[2, 5, 20, 21], [2, 5, 22, 23, 24, 25, 26]]
    cached = Decoding(rival, None, rows, [4, 4])
    for token in (30, 31, 32):
        for row, logits in zip(rows, cached.logits, strict=True):
            output = rival.decode(torch.tensor([row]))
            torch.testing.assert_close(logits, rival.logits(output.at(0, -1)), rtol=1e-4, atol=1e-4)
            row.append(token)
        cached.step(torch.tensor([token, token]))
