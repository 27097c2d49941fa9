"""The machines of a running Ray are asked what they have, and waited for."""

import time

import pytest

from jobs.stage import resources
from jobs.stage.context import StageError
from jobs.stage.resources import choose_device
from tests.support.training_data import pretrain_config, training_context


def test_a_real_cluster_is_asked_and_waited_for_no_longer_than_said(ray_session, tmp_path, monkeypatch):
    """The session's Ray has four CPUs, and takes us for users of a cluster."""
    monkeypatch.setattr(resources, "WAIT_SECONDS", 1)
    ctx = training_context("pretrain", tmp_path, {}, threads=2)
    assert choose_device(ctx, pretrain_config()) == "cpu"
    began = time.monotonic()
    with pytest.raises(
        StageError, match="2 workers want 3 CPUs each, and there is room for 1: this machine has 4 CPUs"
    ):
        choose_device(training_context("pretrain", tmp_path, {}, threads=3), pretrain_config())
    assert 1 <= time.monotonic() - began < 10
