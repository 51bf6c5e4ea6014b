"""transformers' VideoMAE, both generations of names: the same outputs, the same bits back, and no lost bias."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoVideoProcessor,
    VideoMAEConfig,
    VideoMAEForPreTraining,
    VideoMAEForVideoClassification,
    VideoMAEModel,
)

from tests.checkpoints.test_videomae import vit
from tests.checkpoints.tools import clip, loaded, randomised, same
from vssl.checkpoints.export import Export
from vssl.checkpoints.known import facts_of
from vssl.checkpoints.load import open_known
from vssl.config.errors import UserError


def config(**given: Any) -> VideoMAEConfig:
    small = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "image_size": 16,
        "patch_size": 8, "num_frames": 4, "use_mean_pooling": False, "decoder_hidden_size": 16,
        "decoder_num_attention_heads": 2, "decoder_num_hidden_layers": 1, "decoder_intermediate_size": 32,
    }  # fmt: skip
    return VideoMAEConfig(**{**small, **given})


def of_generation(number: int, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of transformers 4.x and of what is published (1), or of 5.8 and newer (2)."""
    renamed = {}
    for name, tensor in weights.items():
        for one, two in (("attention.q_bias", "attention.query.bias"), ("attention.v_bias", "attention.value.bias")):
            name = name.replace(one, two) if number == 2 else name.replace(two, one)
        renamed[name] = tensor
    return renamed


@pytest.mark.parametrize("generation", [1, 2])
def test_tokens_are_those_of_transformers(tmp_path: Path, generation: int) -> None:
    model = randomised(VideoMAEModel(config()))
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(of_generation(generation, weights), tmp_path / "model.safetensors")
    written = "query.bias" if generation == 2 else "q_bias"
    assert any(written in name for name in load_file(tmp_path / "model.safetensors"))
    encoder, report = loaded(tmp_path)
    pixels = clip(4, 16)
    with torch.no_grad():
        theirs = model(encoder.normalise(pixels, channel_dim=1).transpose(1, 2)).last_hidden_state
        torch.testing.assert_close(encoder.tokens(pixels), theirs, atol=1e-5, rtol=1e-5)
    assert report.missing == report.left_out == {}
    assert encoder.norm.eps == 1e-12


def test_a_pretraining_and_a_classifier_leave_their_heads(tmp_path: Path) -> None:
    for cls, pooled, left, missing in (
        (VideoMAEForPreTraining, False, "decoder", set()),
        (VideoMAEForVideoClassification, True, "classifier", {"norm.weight", "norm.bias"}),
    ):
        model = randomised(cls(config(use_mean_pooling=pooled)))
        model.save_pretrained(tmp_path / cls.__name__)
        encoder, report = loaded(tmp_path / cls.__name__)
        assert any(left in name for name in report.left_out)
        assert set(report.missing) == missing
        theirs = dict(model.named_parameters())["videomae.encoder.layer.1.attention.attention.value.bias"]
        assert torch.equal(encoder.blocks[1].attn.v_bias, theirs)


def test_biases_that_were_lost_are_refused(tmp_path: Path) -> None:
    model = randomised(VideoMAEModel(config()))
    model.save_pretrained(tmp_path)
    whole = of_generation(2, load_file(tmp_path / "model.safetensors"))
    zero = {name: t * 0 if name.endswith(("query.bias", "value.bias")) else t for name, t in whole.items()}
    save_file(zero, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="all biases of q and v are zero"):
        loaded(tmp_path)
    half = {name: t * 0 if name.endswith("value.bias") else t for name, t in whole.items()}
    save_file(half, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="all biases of v are zero"):
        loaded(tmp_path)
    save_file({name: t for name, t in whole.items() if not name.endswith("query.bias")}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"blocks\.0\.attn\.q_bias is absent there"):
        loaded(tmp_path)
    both = {**whole, **of_generation(1, whole)}
    save_file({name: t.clone() for name, t in both.items()}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="are both there; one of them is meant"):
        loaded(tmp_path)
    key = {**whole, "encoder.layer.0.attention.attention.key.bias": torch.ones(32)}
    save_file(key, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"key\.bias is \(32,\) there and has no place here"):
        loaded(tmp_path)


def test_a_model_without_biases_says_so_itself(tmp_path: Path) -> None:
    model = randomised(VideoMAEModel(config(qkv_bias=False)))
    model.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**settings, "qkv_bias": False}))
    assert not any("q_bias" in name or "query.bias" in name for name in load_file(tmp_path / "model.safetensors"))
    encoder, _ = loaded(tmp_path)
    assert not encoder.blocks[0].attn.q_bias.any()


def test_out_and_in_again(tmp_path: Path) -> None:
    """Ours -> from_pretrained of the installed transformers -> save_pretrained -> ours, bit by bit."""
    encoder = vit()
    Export("huggingface")(encoder, {"size": 16}, {}, tmp_path / "out")
    model = VideoMAEModel.from_pretrained(tmp_path / "out").eval()
    pixels = clip(4, 16)
    with torch.no_grad():
        theirs = model(encoder.normalise(pixels, channel_dim=1).transpose(1, 2)).last_hidden_state
        torch.testing.assert_close(encoder.tokens(pixels), theirs, atol=1e-5, rtol=1e-5)
    model.save_pretrained(tmp_path / "again")
    for folder in ("out", "again"):
        read, _ = loaded(tmp_path / folder)
        assert same(read.state_dict(), encoder.state_dict()), folder
    names = load_file(tmp_path / "out" / "model.safetensors").keys()
    assert "videomae.encoder.layer.0.attention.attention.q_bias" in names, "generation 1, which old versions read too"


def test_the_exported_folder_alone_gives_our_tokens(tmp_path: Path) -> None:
    """Model and preprocessor together, from bytes to tokens."""
    node = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
    encoder = vit(**node)
    Export("huggingface")(encoder, {"frames": 4, "stride": 3, "size": 16}, node, tmp_path)
    frames = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    model = AutoModel.from_pretrained(tmp_path).eval()
    assert isinstance(model, VideoMAEModel)
    for processor, given in (
        (AutoImageProcessor.from_pretrained(tmp_path), list(frames.numpy())),
        (AutoVideoProcessor.from_pretrained(tmp_path), frames),
    ):
        with torch.no_grad():
            theirs = model(**processor(given, return_tensors="pt")).last_hidden_state
            ours = encoder.tokens(frames.transpose(0, 1)[None] / 255)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    # And back through transformers, which has no word for our pixels: they are those that went out.
    model.save_pretrained(tmp_path / "again")
    for folder in (tmp_path, tmp_path / "again"):
        assert same(loaded(folder)[0].state_dict(), encoder.state_dict())
        opened, layout = open_known(folder)
        facts = facts_of(opened, layout)
        assert facts is not None and facts.clip == {"frames": 4, "stride": 3, "size": 16}


def test_what_transformers_has_not_is_not_exported(tmp_path: Path) -> None:
    for given in ({"pool": "cls"}, {"positions": "learned"}):
        with pytest.raises(UserError, match="sinusoid positions and no class token"):
            Export("huggingface")(vit(**given), {"size": 16}, {}, tmp_path / "out")
        assert not (tmp_path / "out").exists()
