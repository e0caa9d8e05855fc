"""What is stored of a trained detector computes what the detector computed while it learned."""

import numpy as np
import torch
from safetensors.torch import save_file

from operators.relevance import text
from operators.relevance.text_training import Detector, examples, train


def test_stored_weights_give_the_logits_of_training(tmp_path, monkeypatch):
    net = train(seed=0, steps=12)
    path = tmp_path / "text.safetensors"
    save_file(net.stored(), path)
    monkeypatch.setattr(text, "WEIGHTS", path)
    text._weights.cache_clear()
    try:
        weights = text._weights(torch.device("cpu"))
    finally:
        text._weights.cache_clear()
    shades, truth = examples(np.random.default_rng(5), 2)
    assert truth.shape == (2, 1, 40, 40)
    for page in shades:
        logits = net(page[None])[0, 0].detach() * (1 << text.LOGIT_BITS)
        assert torch.equal(text.infer((page[0] * (1 << text.INPUT_BITS)), weights), logits.clamp(-128, 127).long())


def test_training_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    train(seed=0, steps=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_channel_of_tiny_weights_keeps_few_binary_places():
    net = Detector()
    with torch.no_grad():
        net.get_parameter("logit.weight").fill_(1e-9)
    assert net.bits("logit").tolist() == [12]
