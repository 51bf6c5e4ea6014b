"""Folders of runs as a bench leaves them, with made-up numbers: small records, no training."""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vssl.records.folders import baseline_folder, eval_folder
from vssl.records.hashes import hash_of, part_hashes
from vssl.records.record import write_record
from vssl.statistics import bootstrap_interval

TEST_VIDEOS = 400
BATCH = 64
CLASSES = {"motion": 8, "shape": 4, "colour": 4}

BOUND: dict[str, Any] = {
    "seed": 0,
    "clip": {"frames": 8, "stride": 2, "size": 32},
    "data": {"_target_": "datamodules.moving_shapes.MovingShapes", "root": "/somewhere", "label": None, "seed": 0},
    "views": {
        "_target_": "vssl.video.views.Views",
        "clip": {"frames": 8, "stride": 2, "size": 32, "augment": {"jitter_p": 0.8, "grey_p": 0.2}},
    },
    "backbone": {"_target_": "vssl.backbones.vit.VisionTransformer", "embed_dim": 128, "depth": 4},
    "method": {"_target_": "methods.videomae.VideoMAE", "mask_ratio": 0.75},
    "optim": {"base_lr": 0.001},
    "train": {"batch_size": BATCH},
    "budget": {"flops": 12.3e12},
    "trainer": {},
    "eval": {"knn": {"k": 20}},
}

Scores = dict[tuple[str, str], float]
"""{(label, protocol): top-1}."""


@dataclass
class Runs:
    """Writes records below `folder`.

    Args:
        prefix: of every bound configuration's data content, so that digests differ where data differs.
    """

    folder: Path
    content: str = "content"
    written: list[Path] = field(default_factory=list)

    def run(
        self,
        method: str,
        scores: Scores | None = None,
        *,
        seed: int = 0,
        view: str = "clip",
        steps: int = 300,
        status: str = "done",
        error: str | None = None,
        clips: str = "",
        label: str | None = None,
        names: dict[str, str] | None = None,
        config: bool = True,
        curve: bool = True,
        stamp: dict[str, Any] | None = None,
        checkpoint: str | None = None,
        padded: int = 0,
        clamped: int = 0,
        health: dict[str, Any] | None = None,
        probe: list[float] | None = None,
        **changes: Any,
    ) -> Path:
        """One run with its evaluations.

        Args:
            scores: top-1 of each evaluation.
            view: name of the first view.
            clips: anything but "" makes other digests at equal settings.
            probe: top-1 of the online probe, evenly spread over the steps.
            changes: `node__key=value` of the bound configuration (`budget={...}` replaces a node).
        """
        bound = changed(
            {**BOUND, "seed": seed, "method": {"_target_": f"methods.{method}", **changes.pop("own", {})}}, changes
        )
        bound["views"][view] = bound["views"].pop("clip")
        hashes = part_hashes(bound, self.content)
        names = {"backbone": "vit_nano", "data": "moving_shapes", "views": "pair", **(names or {})}
        folder = self.folder / f"{method}-{names['backbone']}-s{seed}-{hash_of([hashes, seed])[:8]}"
        folder.mkdir(parents=True)
        settings = hash_of(bound["views"][view])
        samples = steps * BATCH
        if config:
            (folder / "config.yaml").write_text(yaml.safe_dump(bound))
        if curve:
            rows = [f"{step},{step * BATCH},{digest(settings, clips, seed, step)[:16]}" for step in range(1, steps + 1)]
            head = f"step,samples,clips.{view}"
            if probe is not None:
                at = {steps * place // len(probe): top1 for place, top1 in enumerate(probe, 1)}
                rows = [f"{row},{at.get(step, '')}" for step, row in enumerate(rows, 1)]
                head += ",probe_knn"
            (folder / "metrics.csv").write_text("\n".join([head, *rows]) + "\n")
        done = status == "done"
        position = {
            "name": view,
            "settings": settings,
            "digest": digest(settings, clips, seed, steps),
            "tensors": "0" * 64,
        }
        budget = {"steps": steps, "samples": samples, "seconds": 150.0, "flops": 12.2e12, "data_wait_share": 0.03}
        write_record(
            folder,
            {
                "kind": "pretrain", "status": status, "error": error,
                "identity": {
                    "name": folder.name, "method": method, **names, "label": label, "split": "official",
                    "hashes": hashes,
                },
                "seed": seed,
                "budget": {"planned": bound["budget"], **(budget if done else {})},
                "clips": {
                    "samples": samples, "positions": [position], "padded": padded, "clamped": clamped, "replaced": [],
                }
                if done
                else None,
                **({"health": health} if health else {}),
                "environment": {}, "finished": f"2026-01-01T00:00:0{seed}+00:00" if status != "running" else None,
            },
        )  # fmt: skip
        who = {"name": folder.name, "kind": "run", "method": method, "weights": hash_of([method, seed])}
        self.evaluations(
            folder, scores or {}, who | ({"checkpoint": checkpoint} if checkpoint else {}), hashes, seed, names, stamp
        )
        self.written.append(folder)
        return folder

    def baseline(
        self,
        name: str,
        scores: Scores,
        *,
        seed: int = 0,
        kind: str | None = None,
        on: str = "vit_nano",
        **changes: Any,
    ) -> Path:
        """`random`, `mean_frame`, or a file of weights."""
        bound = changed({**BOUND, "seed": seed}, changes)
        if name == "mean_frame":
            bound["backbone"] = {"_target_": "vssl.backbones.mean_frame.MeanFrame"}
        hashes = part_hashes(bound, self.content)
        names = {"backbone": name if name == "mean_frame" else on, "data": "moving_shapes", "views": "pair"}
        folder = baseline_folder(self.folder, name, hash_of([hashes["backbone"], seed]))
        folder.mkdir(parents=True)
        write_record(
            folder,
            {
                "kind": "encoder", "status": "done", "error": None,
                "identity": {"name": name, "method": name, **names, "hashes": hashes},
                "seed": seed, "budget": {"planned": {}, "steps": 0, "samples": 0, "seconds": 0, "flops": 0},
                "clips": None, "environment": {},
            },
        )  # fmt: skip
        who = {"name": name, "kind": kind or name, "method": name, "weights": hash_of([name, seed])}
        self.evaluations(folder, scores, who, hashes, seed, names, None)
        self.written.append(folder)
        return folder

    def evaluations(
        self, folder: Path, scores: Scores, who: dict[str, Any], hashes: dict[str, str], seed: int,
        names: dict[str, str], stamp: dict[str, Any] | None,
    ) -> None:  # fmt: skip
        for (label, protocol), top1 in scores.items():
            evaluation(folder, label, protocol, top1, who=who, hashes=hashes, seed=seed, names=names, stamp=stamp)


def evaluation(
    folder: Path, label: str, protocol: str, top1: float, *, who: dict[str, Any], hashes: dict[str, str],
    seed: int = 0, names: dict[str, str], stamp: dict[str, Any] | None = None, status: str = "done",
    error: str | None = None, inputs: str = "i" * 64, finished: str = "2026-01-01T00:00:09+00:00",
) -> Path:  # fmt: skip
    """One evaluation beside the encoder in `folder`."""
    whole = {
        "protocol": protocol, "version": 1, "frozen": True, "label": label, "classes": CLASSES[label], "k": 20,
        "lists": {"train": hash_of("train"), "test": hash_of("test")}, **(stamp or {}),
    }  # fmt: skip
    right = np.arange(TEST_VIDEOS) < round(top1 * TEST_VIDEOS)
    low, high = bootstrap_interval(right)
    top = {"value": float(right.mean()), "low": low, "high": high}
    place = eval_folder(folder, protocol, label, hash_of([whole, who, finished]))
    place.mkdir(parents=True)
    write_record(
        place,
        {
            "kind": "evaluate", "status": status, "error": error,
            "identity": {
                "encoder": who, "backbone": names["backbone"], "data": names["data"], "protocol": protocol,
                "label": label,
                "hashes": {"data": hashes["data"], "backbone": hashes["backbone"], "eval": hash_of(whole)},
            },
            "seed": seed, "protocol": whole,
            **({"results": {"top1": top}} if status == "done" else {}),
            "chosen": {}, "inputs": inputs, "finished": finished,
        },
    )  # fmt: skip
    return place


def digest(settings: str, clips: str, seed: int, step: int) -> str:
    """A stand-in for the chain: the same whenever settings, clips, seed and step are."""
    return hash_of([settings, clips, seed, step])


def changed(bound: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    tree = copy.deepcopy(bound)
    for path, value in changes.items():
        *nodes, last = path.split("__")
        node = tree
        for name in nodes:
            node = node[name]
        node[last] = value
    return tree


def grid(knn_motion: float, linear_motion: float, knn_shape: float, linear_shape: float) -> Scores:
    return {
        ("motion", "knn"): knn_motion, ("motion", "linear"): linear_motion,
        ("shape", "knn"): knn_shape, ("shape", "linear"): linear_shape,
    }  # fmt: skip


def quick_bench(folder: Path) -> Runs:
    """What `bench quick` leaves: two methods, supervised, two encoders without training, one seed."""
    runs = Runs(folder)
    runs.run("videomae", grid(0.52, 0.78, 0.61, 0.83), steps=1459)
    runs.run("simsiam", grid(0.21, 0.30, 0.88, 0.95), view="a", steps=283)
    runs.run("supervised", grid(0.87, 0.89, 0.42, 0.71), steps=566, label="motion", own={"label": "motion"})
    runs.baseline("random", grid(0.22, 0.44, 0.58, 0.72))
    runs.baseline("mean_frame", grid(0.24, 0.31, 0.49, 0.63))
    return runs


def messy_folder(folder: Path) -> Runs:
    """One, two and three seeds, other budgets, views, clips, backbones and evaluations, failed runs."""
    runs = Runs(folder)
    for seed, top1 in enumerate((0.76, 0.78, 0.81)):
        runs.run("videomae", grid(top1 - 0.2, top1, 0.6 + seed / 100, 0.8), seed=seed, steps=400)
        runs.baseline("random", grid(0.22, 0.40 + seed / 50, 0.58, 0.72), seed=seed)
    for seed, top1 in enumerate((0.33, 0.36)):
        runs.run("simsiam", grid(0.21, top1, 0.88, 0.95), view="a", seed=seed, steps=283)
    runs.run("simsiam", grid(0.20, 0.41, 0.9, 0.96), view="a", steps=120, budget={"steps": 120})
    runs.run("byol", grid(0.25, 0.47, 0.9, 0.96), view="a", clips="other")
    runs.run("dino", grid(0.55, 0.80, 0.9, 0.96), view="a", views__clip__augment={"jitter_p": 0.4, "grey_p": 0.2})
    runs.run("videomae", grid(0.4, 0.6, 0.5, 0.6), names={"backbone": "vit_tiny"}, backbone__embed_dim=192)
    runs.run("moco_v3", {("motion", "knn"): 0.5}, view="a", stamp={"k": 5})
    runs.run("simsiam", view="a", seed=2, status="failed", error="WorkError: the loss is nan at step 12")
    runs.run("cvrl", view="a", status="running")
    runs.baseline("mean_frame", grid(0.24, 0.31, 0.49, 0.63))
    return runs
