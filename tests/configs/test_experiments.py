"""Every published run says where it comes from, can be started as its header says, and has its source's numbers.

The numbers below are in the words of the sources: devices and clips on each, the rate before scaling, epochs.
"""

import json
import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch

from methods.videomae import VideoMAE
from vssl.backbones.vit import VisionTransformer
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.folders import config_root
from vssl.config.paths import take_paths
from vssl.training.build import Study, assemble

FIELDS = ("Source", "Expects", "Hardware", "Run here", "Run", "Differs", "Unverified")
FIELD = re.compile(r"# ([A-Z][a-z]+(?: here)?):(?: +(.*))?")
CONTINUED = "# ".ljust(14)
FILES = {path.stem: path for path in sorted((config_root() / "experiment").glob("*.yaml"))}
NOT_PUBLISHED = {"nano"}  # ours, for a CPU
RUNS = sorted(set(FILES) - NOT_PUBLISHED)
PAGE = Path(__file__).parents[2] / "docs" / "experiments.md"
SHOWN = ("Source", "Expects", "Hardware", "Run here")


def header(path: Path) -> dict[str, str]:
    """{field: text} of the comment at the top of a run's file. Raises ValueError for a line that is in no field."""
    package, title, *lines = [line.rstrip() for line in path.read_text(encoding="utf-8").splitlines()]
    if package != "# @package _global_" or not re.fullmatch(r"# \S.*\.", title) or FIELD.match(title):
        raise ValueError(f"{path.name}: the package, then a sentence of what it is; got {package!r} and {title!r}")
    fields: dict[str, str] = {}
    for line in lines:
        if not line.startswith("#"):
            return fields
        if found := FIELD.fullmatch(line):
            fields[found[1]] = found[2] or ""
        elif fields and line.startswith(CONTINUED):
            last = next(reversed(fields))
            fields[last] = f"{fields[last]} {line.removeprefix(CONTINUED)}"
        else:
            raise ValueError(f"{path.name}: {line!r} begins no field and goes on with none")
    return fields


@pytest.mark.parametrize("run", RUNS)
def test_a_header_has_every_field_in_this_order(run: str) -> None:
    fields = header(FILES[run])
    assert tuple(fields) == FIELDS
    assert not [name for name, text in fields.items() if not text.strip()]
    assert re.match(r"never$|\d{4}-\d\d-\d\d ", fields["Run here"]), "never, or the day and what came out"


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("# @package _global_\n# Source:     x\n", "sentence"),
        ("# @package _global_\n# What.\n# Source:     x\n# loose\n", "loose"),
    ],
)
def test_a_header_of_another_form_is_noticed(broken: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(broken + "clip: {}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=told):
        header(tmp_path / "run.yaml")


def test_the_index_is_the_headers() -> None:
    rows = [["experiment", *(name.lower() for name in SHOWN)], ["---"] * (1 + len(SHOWN))]
    rows += [[f"`{run}`", *(header(FILES[run])[name] for name in SHOWN)] for run in RUNS]
    wanted = [f"| {' | '.join(row)} |" for row in rows]
    shown = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert shown == wanted, "the table has to be:\n" + "\n".join(wanted)


MANY = 4200  # more than the largest batch has clips


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """{data set: folder of its videos and lists}, in the form in which it is published; nobody opens a video."""
    roots = {data: tmp_path_factory.mktemp(data) for data in ("kinetics400", "ssv2", "ucf101", "hmdb51")}
    names = [f"{number:04}" for number in range(MANY)]
    labels = roots["ssv2"] / "annotations"
    clips = [{"id": name, "template": "Holding [something]"} for name in names]
    write(roots["kinetics400"] / "annotations" / "train.txt", [f"{name}.mp4 0" for name in names])
    write(roots["kinetics400"] / "annotations" / "val.txt", ["last.mp4 1"])
    write(labels / "something-something-v2-labels.json", [json.dumps({"Holding something": "0"})])
    write(labels / "something-something-v2-train.json", [json.dumps(clips)])
    write(labels / "something-something-v2-validation.json", [json.dumps([{**clips[0], "id": "last"}])])
    write(roots["ucf101"] / "annotations" / "classInd.txt", ["1 Wave"])
    write(roots["ucf101"] / "annotations" / "trainlist01.txt", [f"Wave/v_Wave_g01_{name}.avi 1" for name in names])
    write(roots["ucf101"] / "annotations" / "testlist01.txt", ["Wave/v_Wave_g02_last.avi"])
    write(
        roots["hmdb51"] / "annotations" / "wave_test_split1.txt", [*(f"{name}.avi 1" for name in names), "last.avi 2"]
    )
    for data, root in roots.items():
        for name in (*names, "last"):
            (root / (f"v_Wave_g0{1 + (name == 'last')}_{name}.avi" if data == "ucf101" else f"{name}.mp4")).touch()
    return roots


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture
def videos(run: str, folders: Mapping[str, Path]) -> Path:
    """The folder of the data set that a run names."""
    return folders[compose([f"experiment={run}"]).choices["data"]]


@cache
def started(run: str, videos: Path) -> Study:
    """What the header's command builds before it reads data, on the meta device: even a huge network has no weights."""
    program, command, first, root, *others = shlex.split(header(FILES[run])["Run"])
    assert (program, command, first, root) == ("vssl", "pretrain", f"experiment={run}", "data.root=...")
    words, paths = take_paths([first, f"data.root={videos}", *others, "run.device=cpu", "run.threads=1"])
    with torch.device("meta"):
        study = assemble(compose(words, paths=paths))
        study.check()
    return study


@pytest.mark.parametrize("run", RUNS)
def test_it_starts_as_its_header_says(run: str, videos: Path) -> None:
    study = started(run, videos)
    assert bind(study.bound) == study.bound
    assert {parameter.device.type for parameter in study.method.parameters()} == {"meta"}


@dataclass(frozen=True)
class Published:
    """A run in the words of its source.

    Args:
        devices, clips: devices and clips on each; 1 where the source gives their product.
        rate: learning rate for `reference` clips.
        warmup: epochs.
        lowest: rate for `reference` clips that the cosine leads to.
        frames, stride: of each view, or of the views named.
    """

    devices: int
    clips: int
    rate: float
    epochs: int
    warmup: float
    frames: int
    stride: int
    reference: int = 256
    lowest: float = 0.0

    @property
    def batch(self) -> int:
        return self.devices * self.clips

    @property
    def peak(self) -> float:
        return self.rate * self.batch / self.reference


def videomae(
    devices: int, clips: int, epochs: int, stride: int = 4, rate: float = 1.5e-4, lowest: float = 1e-5
) -> Published:
    """MCG-NJU/VideoMAE@14ef8d8: scripts/*/pretrain.sh; run_mae_pretraining.py for what these leave out."""
    return Published(devices, clips, rate, epochs, warmup=40, frames=16, stride=stride, lowest=lowest)


PUBLISHED = {
    "videomae_k400_small": videomae(32, 32, 1600),
    "videomae_k400_base": videomae(64, 32, 1600),
    "videomae_k400_base_800": videomae(64, 32, 800),
    "videomae_k400_large": videomae(64, 8, 1600),
    "videomae_k400_huge": videomae(64, 16, 1600),
    "videomae_ssv2_small": videomae(64, 32, 2400, stride=2),
    "videomae_ssv2_base": videomae(64, 32, 2400, stride=2),
    "videomae_ssv2_base_800": videomae(64, 32, 800, stride=2),
    "videomae_ssv2_large": videomae(1, 1024, 2400, stride=2),  # Table 9; epochs are no more than assumed
    "videomae_ucf101_base": videomae(8, 24, 3200, rate=3e-4),
    "videomae_hmdb51_base": videomae(1, 192, 4800, stride=2, rate=3e-4),  # Sec. 7
    # facebookresearch/SlowFast@287ec00: configs/contrastive_ssl; rates are those of a node of 64 clips.
    "byol_k400": Published(8, 8, 0.6, 200, 35, 8, 8, reference=64),
    "simclr_k400": Published(8, 8, 0.6, 200, 35, 8, 8, reference=64),
    # tensorflow/models: cvrl_pretrain_k600_200ep.yaml; its 71,488 steps are 200 epochs, 1,787 of them warm up.
    "cvrl_k400": Published(1, 1024, 0.32, 200, 5, 16, 2, reference=1024),
    # kahnchana/svt@1827106: scripts/train.sh, train_ssl.py; the lowest rate is not scaled there.
    "svt_k400": Published(4, 8, 5e-4, 100, 10, 8, 32, lowest=1e-6 * 256 / 32),
    # facebookresearch/moco-v3@c349e6e: CONFIG.md (ViT-B); clips are VideoMAE's.
    "moco_v3_k400": Published(1, 4096, 1.5e-4, 300, 40, 16, 4),
    "moco_v3_ssv2": Published(1, 4096, 1.5e-4, 300, 40, 16, 2),
    # facebookresearch/simsiam@a7bc177: main_simsiam.py; clips are those of arXiv:2104.14558.
    "simsiam_k400": Published(1, 512, 0.05, 100, 0, 8, 8),
}
UNKNOWN = {"lstcl_k400"}  # nothing but the figure is published
UNASKED = {"flops_per_step": lambda: math.nan, "seconds_per_step": lambda: math.nan}


def test_there_are_numbers_for_every_run_of_which_any_are_known() -> None:
    assert set(PUBLISHED) | UNKNOWN == set(RUNS)
    assert all(header(FILES[run])["Unverified"].startswith("every value") for run in UNKNOWN)


@pytest.mark.parametrize("run", PUBLISHED)
def test_batch_rate_and_length_are_the_published_ones(run: str, videos: Path) -> None:
    study, published = started(run, videos), PUBLISHED[run]
    batch = study.train.batch_size
    assert batch == published.batch
    peak = study.optimiser.peak_lr(batch)
    assert peak == pytest.approx(published.peak, rel=1e-12)
    per_epoch = study.datamodule.sampler().batches_per_epoch
    steps = study.budget.to_steps(batch_size=batch, batches_per_epoch=per_epoch, **UNASKED)
    assert steps == published.epochs * per_epoch
    schedule = study.optimiser.schedule
    warmup = schedule.warmup(steps)
    assert warmup == published.warmup * per_epoch
    lowest = published.lowest * batch / published.reference
    for step in (warmup, (warmup + steps) // 2, steps):
        through = (step - warmup) / (steps - warmup)
        wanted = lowest + (published.peak - lowest) * (1 + math.cos(math.pi * through)) / 2
        assert peak * schedule.factor(step, steps) == pytest.approx(wanted, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("run", PUBLISHED)
def test_clips_are_the_published_ones(run: str, videos: Path) -> None:
    study, published = started(run, videos), PUBLISHED[run]
    clip = study.bound["clip"]
    assert (clip["frames"], clip["stride"], clip["size"]) == (published.frames, published.stride, 224)
    views = dict(study.views.positions)
    if run == "svt_k400":  # its views are shares of the video
        sizes = [(name.partition(".")[0], view.size, view.frames) for name, view in views.items()]
        assert sizes == [("a", 224, 8), ("b", 224, 8), *[("local", 96, 8)] * 8]
    else:
        seen = {(view.frames, view.stride, view.size) for view in views.values()}
        assert seen == {(published.frames, published.stride, 224)}


@pytest.mark.parametrize("run", [run for run, published in PUBLISHED.items() if published.devices > 1])
def test_a_device_has_the_published_share(run: str, videos: Path) -> None:
    """The header's command divides a batch into what a device of the source has in one pass."""
    study = started(run, videos)
    assert study.train.batch_size // study.train.accumulate // study.devices == PUBLISHED[run].clips


# MCG-NJU/VideoMAE@14ef8d8: modeling_pretrain.py: width, depth and heads of encoder and decoder; the scripts' depths.
VIDEOMAE = [run for run in RUNS if run.startswith("videomae_")]
SIZES = {
    "small": (384, 12, 6, 192, 4, 3),
    "base": (768, 12, 12, 384, 4, 6),
    "large": (1024, 24, 16, 512, 12, 8),
    "huge": (1280, 32, 16, 640, 12, 8),
}


@pytest.mark.parametrize("run", VIDEOMAE)
def test_videomae_has_the_published_networks_and_masks(run: str, videos: Path) -> None:
    study = started(run, videos)
    method = study.method
    assert isinstance(method, VideoMAE) and isinstance(method.encoder, VisionTransformer)
    encoder, decoder = method.encoder, method.decoder
    built = (
        encoder.embed_dim, len(encoder.blocks), encoder.blocks[0].attn.heads,
        method.mask_token.shape[-1], len(decoder.blocks), decoder.blocks[0].attn.heads,
    )  # fmt: skip
    data, size = run.split("_")[1:3]
    assert built == SIZES[size]
    assert (method.mask, method.mask_ratio) == ("tube", 0.75 if data in ("ucf101", "hmdb51") else 0.9)
    assert method.normalise_target and method.decoder_mask is None
    assert encoder.checkpoint == (size == "huge")  # --use_checkpoint
    (view,) = [view for _, view in study.views.positions]
    assert view.augment is not None
    drawn = {name: getattr(view.augment, name) for name in ("crop", "flip", "jitter_p", "grey_p", "blur_p")}
    assert drawn == {"crop": "multi_scale", "flip": 0.0, "jitter_p": 0.0, "grey_p": 0.0, "blur_p": 0.0}


@pytest.mark.parametrize("run", VIDEOMAE)
def test_videomae_warms_up_as_published(run: str, videos: Path) -> None:
    """Its rates are a linspace from 0 that ends on the peak (utils.py, cosine_scheduler)."""
    schedule, steps = started(run, videos).optimiser.schedule, 4_800
    warmup = schedule.warmup(steps)
    rates = [schedule.factor(step, steps) for step in range(warmup)]
    assert rates == pytest.approx(torch.linspace(0, 1, warmup, dtype=torch.float64).tolist(), abs=1e-12)
