"""Fine-tuning: the published recipe by its numbers, and a training that can be killed, watched and trusted."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from tests.training.starts import start
from vssl.backbones.base import Backbone
from vssl.backbones.resnet3d import ResNet3d
from vssl.backbones.swin import VideoSwin
from vssl.backbones.timesformer import TimeSformer
from vssl.backbones.vit import VisionTransformer
from vssl.checkpoints.load import fill_with, open_known
from vssl.config.bind import bind, construct
from vssl.config.compose import compose
from vssl.config.errors import ConfigError, UserError, WorkError
from vssl.datamodule import Loading
from vssl.evaluation.finetuning.classifier import Classifier, network, set_drop_path, soft_cross_entropy
from vssl.evaluation.finetuning.finetune import Finetune
from vssl.evaluation.finetuning.saved import CLASSIFIER, SETTINGS, load_classifier
from vssl.evaluation.finetuning.tuning import TaskVideos
from vssl.evaluation.freeze import weights_hash
from vssl.evaluation.protocol import Protocol, Results, Task
from vssl.evaluation.run import PREDICTIONS, evaluate
from vssl.training.run import LAST
from vssl.video.augmentation.mixing import Mixing
from vssl.video.views import Augment

SIDE, FRAMES = 8, 2
SMALL: dict[str, Any] = {"frames": FRAMES, "size": SIDE, "embed_dim": 32, "depth": 2, "heads": 2, "patch_size": 4}
NODE = {"_target_": "vssl.backbones.vit.VisionTransformer", **SMALL}


def vit(**given: Any) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(**{**SMALL, **given})


FAMILIES: dict[str, Any] = {
    "vit": vit,
    "vit, class token": lambda: vit(pool="cls"),
    "timesformer": lambda: TimeSformer(**SMALL),
    "timesformer, mean": lambda: TimeSformer(**SMALL, pool="mean"),
    "swin": lambda: VideoSwin(frames=FRAMES, width=16, depths=(2,), heads=(2,), window_size=2, patch_size=2),
    "r3d": lambda: ResNet3d(depths=(1, 1), width=4, kernel_frames=(1, 3)),
}
FAST: dict[str, Any] = {"epochs": 12, "warmup_epochs": 1, "batch_size": 20, "base_lrs": (0.05,)}
EASY: dict[str, Any] = {**FAST, "augment": Augment(flip=0.0, crop_scale=(0.9, 1.0), jitter_p=0, grey_p=0, blur_p=0)}


def told(results: Results, column: str = "scores") -> Any:
    """[N, ...] of the predictions."""
    assert results.predictions is not None
    return np.array(results.predictions[column].tolist())


def blobs(world: Any, **settings: Any) -> Task:
    return world.blobs(**{"videos": (60, 20, 60), "noise": 30.0, "backbone": NODE, **settings})


# The recipe by its numbers


def test_rates_of_layers_are_the_published_ones() -> None:
    """VideoMAE's table for 12 blocks at 0.75: the embedding, block by block, then norm and head together."""
    method = Classifier(network(vit(depth=12), 10), "motion", None)
    built = Finetune().optimiser(1e-3).build(method, batch_size=64, steps=500)
    expected = [0.023757, 0.031676, 0.042235, *(0.75 ** (13 - i) for i in range(3, 12)), 0.75, 1.0]
    peak = 1e-3 * 32 / 256
    found = {group["name"]: group["initial_lr"] / peak for group in built["optimizer"].param_groups}
    assert list(found.values()) == pytest.approx(expected, rel=2e-5)
    top = [group for group in built["optimizer"].param_groups if group["name"] == "heads"]
    names = {id(parameter): name for name, parameter in method.named_parameters()}
    assert [[names[id(p)] for p in group["params"]] for group in top] == [
        ["head.linear.weight"], ["head.norm.weight", "head.norm.bias", "head.linear.bias"],
    ]  # fmt: skip
    assert [group["weight_decay"] for group in top] == [0.05, 0.0]


@pytest.mark.parametrize(
    ("name", "data", "batch", "peak", "lowest", "epochs", "views"),
    [
        ("finetune_k400", "kinetics400", 384, 7.5e-4, 1.5e-6, 75, (5, 3)),
        ("finetune_ssv2", "ssv2", 384, 7.5e-4, 1.5e-6, 30, (2, 3)),
        ("finetune_ucf101", "ucf101", 128, 2.5e-4, 5e-6, 100, (5, 3)),
        ("finetune_hmdb51", "hmdb51", 128, 2.5e-4, 5e-6, 100, (5, 3)),
    ],
)
def test_recipes_have_the_published_rates(
    name: str, data: str, batch: int, peak: float, lowest: float, epochs: int, views: tuple[int, int]
) -> None:
    bound = bind(compose([f"eval={name}", f"data={data}"], paths={"data.root": "clips"}).tree)
    protocol = construct(bound["eval"][name], Protocol, "eval")
    assert isinstance(protocol, Finetune)
    assert (protocol.batch_size, protocol.epochs, protocol.repeats) == (batch, epochs, 2)
    assert (protocol.views.clips, protocol.views.crops) == views
    optimiser = protocol.optimiser(protocol.base_lrs[0])
    total, warmup = 100 * epochs, 500
    rate = [optimiser.peak_lr(2 * batch) * optimiser.schedule.factor(step, total) for step in range(total + 1)]
    assert (rate[0], rate[warmup - 1], rate[total]) == pytest.approx((0.0, peak, lowest))
    assert rate[warmup // 2] == pytest.approx(peak * (warmup // 2) / (warmup - 1))
    middle = (total + warmup) // 2
    assert rate[middle] == pytest.approx((peak + lowest) / 2, rel=1e-3)


def test_loss_equals_its_equation() -> None:
    """Smoothed labels of a clip and of the one opposite, mixed in the shares of the pixels; loops in float64."""
    mixing, label, classes = Mixing(switch_probability=0.0), torch.tensor([0, 2, 1, 1]), 3
    clip = torch.rand(4, 3, FRAMES, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mixed, target = mixing.mixed(clip, label, classes, seed=3, step=5)
    share = mixing.draw(3, 5, 0, SIDE, SIDE).share
    assert 0 < share < 1
    logits = torch.randn(4, classes, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    total = 0.0
    for i in range(4):
        j = 3 - i
        torch.testing.assert_close(mixed[i], share * clip[i] + (1 - share) * clip[j])
        scale = sum(math.exp(logits[i, k]) for k in range(classes))
        for k in range(classes):
            own, other = (0.9 * (label[place] == k) + 0.1 / classes for place in (i, j))
            total -= float(share * own + (1 - share) * other) * math.log(math.exp(logits[i, k]) / scale) / 4
    assert soft_cross_entropy(logits, target).item() == pytest.approx(total, rel=1e-6)  # targets are float32


def test_losses_mix_each_micro_batch_by_its_own_clips(world: Any) -> None:
    method = Classifier(network(vit(), 4), "motion", Mixing())
    seen: list[Tensor] = []
    method.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    views = {"clip": torch.rand(4, 3, FRAMES, SIDE, SIDE)}
    for key in (1, 2, 1):
        batch: Any = {"key": torch.tensor([key, 7, 8, 9]), "label": {"motion": torch.arange(4)}}
        method.losses(views, batch)
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], views["clip"])


def test_logits_and_gradients_are_those_of_transformers(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128,
        "image_size": SIDE, "patch_size": 4, "num_frames": 4, "num_labels": 5, "use_mean_pooling": True,
    }  # fmt: skip
    torch.manual_seed(0)
    theirs: Any = VideoMAEForVideoClassification(VideoMAEConfig(**settings))
    theirs.eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    theirs.save_pretrained(tmp_path)
    opened, layout = open_known(tmp_path)
    facts = layout.facts(layout.tensors(opened), opened)
    assert facts is not None
    encoder = construct(facts.backbone, Backbone, "backbone")
    fill_with(encoder, facts.backbone, opened, layout, str(tmp_path))
    ours = network(encoder, 5).eval()
    assert isinstance(ours.head.norm, torch.nn.LayerNorm)
    ours.head.norm.load_state_dict(theirs.fc_norm.state_dict())
    ours.head.norm.eps = theirs.fc_norm.eps
    ours.head.linear.load_state_dict(theirs.classifier.state_dict())
    pixels = torch.rand(3, 3, 4, SIDE, SIDE)
    label = torch.tensor([0, 3, 4])
    expected = theirs(encoder.normalise(pixels, channel_dim=1).transpose(1, 2), labels=label)
    logits = ours(pixels)
    torch.testing.assert_close(logits, expected.logits, atol=1e-5, rtol=1e-5)
    torch.autograd.backward(F.cross_entropy(logits, label))
    expected.loss.backward()
    kernel = theirs.videomae.embeddings.patch_embeddings.projection.weight.grad.flatten(1)
    torch.testing.assert_close(ours.get_parameter("encoder.patch_embed.weight").grad, kernel, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.head.norm.weight.grad, theirs.fc_norm.weight.grad, atol=1e-5, rtol=1e-4)


# Every family of backbones


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mean_over_tokens_is_normed_after_it_and_every_other_summary_stays(family: str) -> None:
    encoder = FAMILIES[family]().eval()
    clip = torch.rand(2, 3, FRAMES, SIDE, SIDE)
    summary = encoder(clip)
    made = network(encoder, 4, scale=1.0).eval()
    if family in ("vit", "timesformer, mean"):  # the final norm is gone: tokens are those of the last block
        mean = encoder.tokens(clip).mean(dim=1)
        assert not torch.allclose(encoder.tokens(clip).mean(dim=2), torch.zeros(1), atol=1e-3)
        summary = F.layer_norm(mean, (len(mean[0]),), eps=1e-6)
    torch.testing.assert_close(made(clip), made.head.linear(summary))
    assert made.head.linear.bias.abs().max() == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_trained_whole(family: str, world: Any, tmp_path: Path) -> None:
    encoder = FAMILIES[family]()
    method = Classifier(network(encoder, 4), "motion", Mixing())
    owned = [id(parameter) for group in method.param_groups() for parameter in group.params.values()]
    assert sorted(owned) == sorted(id(parameter) for parameter in method.parameters())
    blocks = set_drop_path(encoder, 0.4)
    rates = [getattr(part, "rate", getattr(part, "p", None)) for part in encoder.modules()
             if type(part).__name__ in ("DropPath", "StochasticDepth")]  # fmt: skip
    assert rates == pytest.approx([0.4 * block / (blocks - 1) for block in range(blocks)])
    before, task = {n: p.clone() for n, p in FAMILIES[family]().state_dict().items()}, blobs(world)
    fresh = FAMILIES[family]()
    fresh.load_state_dict(before)
    Finetune(**{**FAST, "epochs": 1}).run(fresh, task, tmp_path)
    weights = load_file(tmp_path / CLASSIFIER)
    still = [
        name
        for name in before
        if f"encoder.{name}" in weights and torch.equal(before[name], weights[f"encoder.{name}"])
    ]
    assert set(still) <= {"mean", "std", *(name for name, _ in fresh.named_buffers())}, "weights that never moved"


# A run


def test_it_learns_and_what_only_test_videos_show_does_not_help(world: Any, random_images: Any, tmp_path: Path) -> None:
    task = blobs(world)
    encoder = vit()
    before = weights_hash(encoder)
    results = Finetune(**EASY).run(encoder, task, tmp_path)
    assert results.metrics["top1"]["value"] > 0.9
    assert weights_hash(encoder) == before, "the encoder is others' as well"
    assert world.reader.opened[-60:] == task.test.id.tolist()
    assert not set(world.reader.opened[:-60]) & set(task.test.id.tolist()), "the test list is read once, at the end"
    shuffled = np.random.default_rng(0).permutation(task.test.labels["motion"])
    blind = replace(task, test=replace(task.test, labels={"motion": shuffled}))
    chance = Finetune(**EASY).run(vit(), blind, tmp_path / "blind")
    assert chance.metrics["top1"]["low"] < 0.25 < chance.metrics["top1"]["high"]
    assert np.array_equal(told(results), told(chance))


def test_views_are_merged_as_the_mean_of_their_probabilities(world: Any, tmp_path: Path) -> None:
    task = blobs(world)
    results = Finetune(**{**FAST, "epochs": 1}, clips=2, crops=3, sampling="dense").run(vit(), task, tmp_path)
    of_views = np.array([np.stack(row) for row in told(results, "view_scores")])
    assert of_views.shape == (60, 6, 4)
    np.testing.assert_allclose(of_views.sum(axis=2), 1, rtol=1e-5)
    np.testing.assert_allclose(told(results), of_views.mean(axis=1), rtol=1e-5)
    assert results.stamp["clip"]["views"] == "2 x 3"
    assert results.stamp["frozen"] is False


def test_of_several_rates_the_best_on_select_is_trained_again_on_all(world: Any, tmp_path: Path) -> None:
    task = blobs(world)
    protocol = Finetune(**{**EASY, "base_lrs": (1e-6, 0.05)})
    results = protocol.run(vit(), task, tmp_path)
    assert results.chosen["base_lr"] == 0.05
    assert results.chosen["lr_at_edge"] is True
    assert results.chosen["select_top1"] > 0.9
    assert not set(world.reader.opened[:-60]) & set(task.test.id.tolist()), "a choice that has seen the test list"
    log = (tmp_path / "training" / "log.txt").read_text()
    assert "12 epochs of 80 videos" in log
    assert "12 epochs of 60 videos" in (tmp_path / "select-0.05" / "log.txt").read_text()
    opened = len(world.reader.opened)
    again = protocol.run(vit(), task, tmp_path)
    assert len(world.reader.opened) == opened, "what was judged and trained is not made again"
    assert again.chosen == results.chosen
    assert np.array_equal(told(again), told(results))
    other = Finetune(**{**EASY, "base_lrs": (1e-6, 0.05), "epochs": 1}).run(vit(), task, tmp_path)
    assert other.chosen["steps"] == 4, "the training of other settings in this folder is not taken"


def test_the_saved_classifier_gives_the_predictions(world: Any, tmp_path: Path) -> None:
    task = blobs(world)
    results = Finetune(**{**EASY, "epochs": 2}).run(vit(), task, tmp_path)
    loaded, saved = load_classifier(tmp_path)
    assert (saved.label, saved.classes, saved.clip) == ("motion", task.classes, task.clip)
    images = np.stack([world.reader.images[name] for name in task.test.id])
    clips = torch.from_numpy(images).permute(0, 3, 1, 2)[:, :, None].expand(-1, -1, FRAMES, -1, -1) / 255
    with torch.no_grad():
        scores = loaded(clips).softmax(dim=1).numpy()
    np.testing.assert_allclose(scores, told(results), atol=1e-5)
    (tmp_path / SETTINGS).write_text((tmp_path / SETTINGS).read_text().replace("depth: 2", "depth: 3"))
    with pytest.raises(UserError, match=r"classifier\.safetensors does not belong to the classifier\.yaml beside it"):
        load_classifier(tmp_path)
    (tmp_path / CLASSIFIER).write_bytes(b"no weights")
    with pytest.raises(UserError, match="no whole file of weights"):
        load_classifier(tmp_path / CLASSIFIER)


def test_from_scratch_is_the_untrained_backbone_whatever_is_given(world: Any, tmp_path: Path) -> None:
    task = blobs(world, seed=3)
    torch.manual_seed(3)
    untrained = VisionTransformer(**SMALL)
    settings = {**FAST, "epochs": 1}
    found = {
        "random": Finetune(**settings).run(untrained, task, tmp_path / "random"),
        "scratch": Finetune(**settings, from_scratch=True).run(vit(), task, tmp_path / "scratch"),
        "other": Finetune(**settings).run(vit(), task, tmp_path / "other"),
    }
    scores = {name: told(results) for name, results in found.items()}
    assert np.array_equal(scores["random"], scores["scratch"])
    assert not np.array_equal(scores["random"], scores["other"])
    assert found["scratch"].stamp != found["random"].stamp


@pytest.mark.parametrize("flip_safe", [False, True])
def test_training_clips_are_turned_only_where_that_keeps_the_label(world: Any, flip_safe: bool) -> None:
    task = replace(blobs(world), flip_safe=flip_safe)
    plain = Augment(flip=1.0, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), jitter_p=0, grey_p=0, blur_p=0)
    videos = TaskVideos(task.train, task)
    videos.attach(Loading(Finetune(augment=plain).training_views(task.clip), batch_size=4, seed=0, label="motion"))
    batch = videos.first_batch()
    shown = batch["views"]["clip"][0, :, 0]
    image = torch.from_numpy(world.reader.images[str(task.train.id[batch["id"][0]])]).permute(2, 0, 1) / 255
    torch.testing.assert_close(shown, image.flip(-1) if flip_safe else image, atol=1e-6, rtol=0)
    assert not torch.equal(image, image.flip(-1))


def test_a_video_that_cannot_be_trained_on_is_replaced_and_told(world: Any, tmp_path: Path) -> None:
    task = replace(blobs(world), max_bad_fraction=0.05)
    del world.reader.images["train0007"]
    results = Finetune(**{**FAST, "epochs": 1}).run(vit(), task, tmp_path)
    assert [bad["id"] for bad in results.chosen["replaced"]] == ["train0007"]
    del world.reader.images["test0007"]
    with pytest.raises(WorkError, match="test0007"):
        Finetune(**{**FAST, "epochs": 1}).run(vit(), replace(task, seed=1), tmp_path / "other")


def test_an_average_of_the_weights_is_what_is_evaluated() -> None:
    made = network(FAMILIES["r3d"](), 4)
    first = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    method = Classifier(made, "motion", None, ema_decay=0.9)
    with torch.no_grad():
        for tensor in [*made.parameters(), *(b for n, b in made.named_buffers() if "running" in n)]:
            tensor.add_(1.0)
    method.after_step(method.progress)
    for name, tensor in method.evaluated.state_dict().items():
        if name in dict(made.named_parameters()):
            torch.testing.assert_close(tensor, 0.9 * first[name] + 0.1 * (first[name] + 1))
        elif "running" in name:
            torch.testing.assert_close(tensor, first[name] + 1)
    plain = Classifier(network(vit(), 4), "motion", None).evaluated
    assert plain.encoder is not None and not any(p is q for p in plain.parameters() for q in method.parameters())


# What goes wrong


def test_a_training_that_diverges_stops_with_its_step_and_keeps_its_last_good_state(world: Any, tmp_path: Path) -> None:
    task = replace(blobs(world), save_steps=1)
    with pytest.raises(WorkError, match=r"not finite|is nan|is inf") as stopped:
        Finetune(**{**EASY, "base_lrs": (1e30,), "min_lr": 0.0}).run(vit(), task, tmp_path)
    text = str(stopped.value)
    assert "step 2" in text or "step 3" in text
    assert "the last good checkpoint is" in text and "a lower base_lr" in text
    good = torch.load(tmp_path / "training" / LAST, weights_only=True)
    assert good["global_step"] >= 1
    assert all(bool(t.isfinite().all()) for t in good["state_dict"].values())
    assert not (tmp_path / CLASSIFIER).exists()


def test_of_several_rates_one_that_diverges_is_told_and_the_others_go_on(world: Any, tmp_path: Path) -> None:
    task = blobs(world)
    protocol = Finetune(**{**EASY, "base_lrs": (0.05, 1e30), "min_lr": 0.0, "epochs": 2})
    results = protocol.run(vit(), task, tmp_path)
    assert results.chosen["base_lr"] == 0.05 and results.chosen["diverged_lrs"] == [1e30]
    with pytest.raises(WorkError, match="diverged at every rate: the .* step"):
        Finetune(**{**EASY, "base_lrs": (1e30, 1e31), "min_lr": 0.0, "epochs": 2}).run(vit(), task, tmp_path)


def test_what_cannot_work_is_refused_before_a_video_is_read(world: Any) -> None:
    task = blobs(world)
    with pytest.raises(UserError, match="batch_size=128, and there are 80 videos") as few:
        Finetune(batch_size=128).check(task)
    advice = int(str(few.value).rpartition("=")[2])
    Finetune(batch_size=advice).check(task)
    with pytest.raises(UserError, match="there are 60 videos"):
        Finetune(batch_size=70, base_lrs=(1e-3, 1e-2)).check(task)
    with pytest.raises(UserError, match="no multiple of accumulate x run.devices = 3"):
        Finetune(batch_size=32).check(replace(task, devices=3))
    no_select = replace(task, select=task.select.take(np.arange(0)))
    with pytest.raises(UserError, match="no select video to choose among 2 rates"):
        Finetune(base_lrs=(1e-3, 1e-2)).check(no_select)
    assert world.reader.opened == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"base_lrs": ()}, "base_lrs is"), ({"epochs": 2}, "warmup_epochs is 5, allowed is 0 to 2"),
        ({"drop_path": 1.0}, "drop_path is 1.0"), ({"min_lr": 1.0}, "min_lr is 1.0, allowed is 0 to 0.001"),
        ({"accumulate": 0}, "accumulate is 0"), ({"layer_decay": 0.0}, "layer_decay is 0.0"),
        ({"clip_grad_norm": 0.0}, "clip_grad_norm 0.0"), ({"ema_decay": 1.0}, "ema_decay is 1.0"),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_told(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Finetune(**wrong)


def test_an_unknown_setting_gets_the_nearest_name_and_those_of_the_test_views_are_known() -> None:
    with pytest.raises(ConfigError, match="Finetune has no argument 'epoch'; did you mean 'epochs'"):
        bind(compose(["eval=finetune", "eval.finetune.epoch=5"]).tree)
    bound = bind(compose(["eval=finetune", "eval.finetune.clips=2"]).tree)
    assert bound["eval"]["finetune"]["clips"] == 2


# Killed and started again

WORDS = ["eval=finetune", "eval.finetune.batch_size=8", "eval.finetune.epochs=2", "eval.finetune.warmup_epochs=1",
         "eval.finetune.ema_decay=0.9", "eval.finetune.accumulate=2", "run.save_steps=2", "run.workers=0"]  # fmt: skip


def asked(words: list[str], out: str) -> Path:
    composed = compose([*words, f"run.out={out}"])
    (place,) = evaluate(bind(composed.tree), composed.choices, "random", Path(out))
    return place


def same_end(whole: Path, parts: Path) -> None:
    assert (whole / CLASSIFIER).read_bytes() == (parts / CLASSIFIER).read_bytes()
    first, second = (pd.read_parquet(place / PREDICTIONS) for place in (whole, parts))
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    curves = [pd.read_csv(place / "training" / "metrics.csv") for place in (whole, parts)]
    assert curves[1]["step"].tolist() == list(range(1, 13)), "a gap or a repeat"
    timed = ["seconds", "wait_share"]
    pd.testing.assert_frame_equal(curves[0].drop(columns=timed), curves[1].drop(columns=timed), check_exact=True)


@pytest.mark.timeout(120)
def test_a_fine_tune_that_is_killed_ends_as_one_that_was_not(tiny: list[str]) -> None:
    words = [*tiny, *WORDS]
    whole = asked(words, "whole")
    killed = start(["evaluate", "random", *words, "run.out=parts"], ("row", 9))  # the fifth step, not yet saved
    assert killed.returncode == -9, killed.stderr
    (saved,) = Path("parts").rglob("last.ckpt")
    assert torch.load(saved, weights_only=True)["global_step"] == 4
    same_end(whole, asked(words, "parts"))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("devices", [1, 2])
def test_a_storm_of_kills(tiny: list[str], devices: int) -> None:
    words = [*tiny, *WORDS, f"run.devices={devices}", "eval.finetune.base_lrs=[1e-3,2e-3]"]
    whole = asked(words, "whole")
    for moment in [("batch", 3), ("saving", 2), ("row", 16), ("saved", 5), ("stepped", 12)]:
        assert start(["evaluate", "random", *words, "run.out=parts"], moment).returncode == -9
    same_end(whole, asked(words, "parts"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_processes_test_each_video_once_and_agree_with_one(tiny: list[str]) -> None:
    """Nine test videos, which two do not divide. What is drawn for a micro-batch is left out: it is each one's own."""
    words = [*tiny, *WORDS, "eval.finetune.mixing=null", "eval.finetune.drop_path=0", "eval.finetune.accumulate=1"]
    one, two = asked(words, "one"), asked([*words, "run.devices=2"], "two")
    rows = [pd.read_parquet(place / PREDICTIONS) for place in (one, two)]
    assert rows[0]["id"].tolist() == rows[1]["id"].tolist()
    assert rows[1]["id"].nunique() == len(rows[1]) == 9
    np.testing.assert_allclose(np.stack(rows[0]["scores"].tolist()), np.stack(rows[1]["scores"].tolist()), atol=1e-4)
