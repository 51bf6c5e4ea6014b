"""Bad input through the real command line: one clear message, the right exit code, nothing written, nothing lost."""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.checkpoints.test_files import Hostile
from tests.checkpoints.test_videomae import official, vit
from vssl.cli.main import main
from vssl.records.record import read_record

MakeVideo = Callable[..., Path]
Refused = Callable[..., str]

ROWS = {  # a list in which nothing is wrong: two classes, four videos each in train, one in test
    **{f"{label}_{i}.mp4": f"{label},train" for label in ("clap", "wave") for i in range(4)},
    "clap_4.mp4": "clap,test",
    "wave_4.mp4": "wave,test",
}


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Refused:
    """Runs a command that must be refused with exit code 2; gives its message."""

    def run(*words: str) -> str:
        before = files(tmp_path)
        capfd.readouterr()
        assert main(words) == 2, capfd.readouterr().err
        out, err = capfd.readouterr()
        assert out == ""
        message = err[err.index("error: ") :]  # what comes before tells that the made data set is written
        assert message.count("error: ") == 1
        assert "Traceback" not in err
        assert files(tmp_path) == before, "something was written"
        return message

    return run


def files(folder: Path) -> dict[Path, bytes | None]:
    """Every file with its content and every folder; the cache is no output."""
    return {
        path: path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "cache" not in path.relative_to(folder).parts
    }


@pytest.fixture
def videos(tmp_path: Path, make_video: MakeVideo, cache: Path) -> Path:
    root = tmp_path / "videos"
    for name in ROWS:
        make_video(root / name, frames=8, size=(32, 32))
    return root


def listed(videos: Path, rows: dict[str, str], header: str = "path,label,split") -> list[str]:
    """Writes the manifest; gives the words that ask for it."""
    (videos / "clips.csv").write_text("\n".join([header, *(f"{name},{rest}" for name, rest in rows.items())]) + "\n")
    return ["data=video_list", f"data.root={videos}", "data.manifest=clips.csv"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pretrian"], "vssl has no command 'pretrian'; did you mean 'pretrain'?"),
        (["pretrain", "metod=simsiam"], "there is no 'metod'; did you mean 'method'?"),
        (["pretrain", "method=simsam"], "did you mean 'simsiam'?"),
        (["evaluate", "random", "eval=knn,liner"], "did you mean 'linear'?"),
        (["pretrain", "method.mask_ration=0.5"], "no argument 'mask_ration'; did you mean 'mask_ratio'?"),
        (["pretrain", "views.clip.augment.grey=0.1"], "no argument 'grey'; did you mean 'grey_p'?"),
        (["pretrain", "method.mask_ratio=half"], "method.mask_ratio"),
        (["pretrain", "method.mask=tubes"], "did you mean 'tube'?"),
        (["pretrain", "method.mask_ratio=1.5"], "1.5"),
        (["pretrain", "train.batch_size=0"], "batch_size=0"),
        (["pretrain", "optim.base_lr=fast"], "optim.base_lr"),
        (["pretrain", "seed=0,1"], "only sweep and bench take axes"),
        (["pretrain", "method=videomae,simsiam"], "only sweep and bench take axes"),
        (["pretrain", "budget.steps=3", "budget.epochs=2"], "the command line gives epochs and steps; exactly one of"),
        (["pretrain", "trainer.max_steps=3"], "use budget.steps"),
        (["bench", "quick", "method=videomae,simsam"], "did you mean 'simsiam'?"),
    ],
)
def test_unknown_words_and_wrong_values(tiny: list[str], refused: Refused, words: list[str], told: str) -> None:
    configured = words[0] in ("pretrain", "evaluate")
    assert told in refused(*words, *(tiny if configured else []))


@pytest.mark.parametrize("command", [["pretrain"], ["evaluate", "random"], ["bench", "real"]])
@pytest.mark.parametrize(
    ("header", "change", "told"),
    [
        ("file,label,split", {}, "clips.csv, line 1: there is no column 'path'; the header has 'file', 'label'"),
        ("path;label;split", {}, "columns are separated by ';' instead of a comma"),
        ("path,label,split", {"gone.mp4": "wave,train"}, "1 of 11 files are missing below"),
        ("path,label,split", {"clap_4.mp4": "snap,test"}, "class 'snap' is in the test split and not in the training"),
        ("path,label,split", dict.fromkeys(ROWS, ","), "there is no class: the column 'label' is empty in all 10 rows"),
        ("path,label,split", dict.fromkeys(ROWS, "wave,train"), "there is one class, 'wave'"),
        ("path,label,split", {"clap_4.mp4": "clap,tset"}, "split 'tset' is none of train, test, unlabelled"),
    ],
)
def test_wrong_manifests(
    tiny: list[str], videos: Path, refused: Refused, command: list[str], header: str, change: dict[str, str], told: str
) -> None:
    own = tiny if command != ["bench", "real"] else []
    assert told in refused(*command, *own, *listed(videos, ROWS | change, header), "data.num_videos=8")


def test_a_list_without_labels_is_pretrained_on_and_not_evaluated(
    tiny: list[str], videos: Path, refused: Refused
) -> None:
    (videos / "clips.csv").write_text("\n".join(["path", *ROWS]) + "\n")
    words = [*tiny, "data=video_list", f"data.root={videos}", "data.manifest=clips.csv", "run.workers=0"]
    assert "the data set has no labels" in refused("evaluate", "random", *words)
    assert "the method learns from labels" in refused("pretrain", "method=supervised", *words)
    assert main(["pretrain", "method=videomae", *words]) == 0


def test_a_folder_and_a_list_that_are_not_there(tiny: list[str], videos: Path, refused: Refused) -> None:
    words = ["pretrain", *tiny, "data=video_list"]
    assert "there is no folder nowhere" in refused(*words, "data.root=nowhere")
    assert "data.root" in refused(*words)
    listed(videos, ROWS)
    message = refused(*words, f"data.root={videos}", "data.manifest=clip.csv")
    assert "there is no file clip.csv" in message
    assert "did you mean 'clips.csv'?" in message


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["clip.size=4"], "clip.size is 4 and patch_size 8; patch_size must divide clip.size"),
        (["clip.frames=1"], "clip.frames is 1 and tubelet_size 2; tubelet_size must divide clip.frames"),
        (["clip.size=36"], "patch_size must divide clip.size"),
    ],
)
@pytest.mark.parametrize("command", [["pretrain"], ["evaluate", "random"]])
def test_a_clip_that_the_backbone_cannot_take(
    tiny: list[str], refused: Refused, command: list[str], words: list[str], told: str
) -> None:
    assert told in refused(*command, *tiny, *words)


def test_a_view_of_another_size_than_the_backbone_s(tiny: list[str], refused: Refused) -> None:
    told = "views.b: a clip of 8 frames of 20 x 20 pixels does not fit this backbone"
    assert told in refused("pretrain", *tiny, "method=simsiam", "views.b.size=20")


def test_a_method_that_cannot_work_on_the_backbone(tiny: list[str], refused: Refused) -> None:
    message = refused("pretrain", "scale=smoke", "method=videomae", "backbone=mean_frame")
    assert "method=videomae on backbone=mean_frame: VideoMAE encodes the visible tokens alone" in message
    message = refused("pretrain", *tiny, "method=simsiam", "views=single")
    assert "SimSiam needs the views a, b; this views file gives clip" in message
    assert "at least 2 clips" in refused("pretrain", *tiny, "method=simsiam", "train.accumulate=8")


@pytest.mark.parametrize("method", ["simclr", "moco_v3", "cvrl", "lstcl"])
def test_a_micro_batch_of_one_has_no_negatives(tiny: list[str], refused: Refused, method: str) -> None:
    for words in (["train.accumulate=8"], ["train.batch_size=1"]):
        message = refused("pretrain", *tiny, f"method={method}", *words)
        assert "negatives are the other clips of a forward pass" in message
        assert "needs at least 2, and gets 1" in message


@pytest.mark.parametrize(
    ("method", "views", "told"),
    [
        ("moco_v3", "single", "needs the views a, b; this views file gives clip"),
        ("cvrl", "single", "needs the views a, b; this views file gives clip"),
        ("videomae", "pair", "VideoMAE needs the views clip; this views file gives a, b"),
        ("lstcl", "pair", "this views file gives a, b"),
        ("svt", "single", "SVT needs the views a, b; this views file gives clip"),
    ],
)
def test_views_with_other_names(tiny: list[str], refused: Refused, method: str, views: str, told: str) -> None:
    assert told in refused("pretrain", *tiny, f"method={method}", f"views={views}")


def test_a_batch_larger_than_the_data_set_and_the_advice_holds(tiny: list[str], refused: Refused) -> None:
    message = refused("pretrain", *tiny, "train.batch_size=49")
    assert "train.batch_size=49 is larger than the 48 training videos\n  hint: choose a smaller" in message
    assert main(["pretrain", *tiny, "train.batch_size=48", "budget.steps=1"]) == 0


@pytest.mark.parametrize("command", [["pretrain"], ["evaluate", "random"], ["bench", "quick"]])
def test_an_output_folder_below_a_file(tiny: list[str], refused: Refused, command: list[str]) -> None:
    Path("taken").write_text("mine")
    own = tiny if command != ["bench", "quick"] else ["scale=smoke"]
    message = refused(*command, *own, "run.out=taken/runs")
    assert "cannot write to the folder taken/runs" in message
    assert "Not a directory\n  hint: choose another folder" in message


def test_a_checkpoint_of_another_backbone(tiny: list[str], refused: Refused, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", *tiny, "run.name=mine"]) == 0
    capfd.readouterr()
    message = refused("evaluate", "runs/mine", "backbone.embed_dim=64")
    assert "patch_embed.weight is (128, 384) there, (64, 384) here" in message
    assert "leave backbone= and clip.* out" in message
    assert main(["evaluate", "runs/mine", "eval=knn"]) == 0
    place = Path(capfd.readouterr().out.strip())
    # The file that the run exported is the run.
    assert main(["evaluate", "runs/mine/checkpoints/backbone.safetensors", "eval=knn"]) == 0
    assert capfd.readouterr().out.strip() == str(place)


@pytest.fixture
def bad_files(tmp_path: Path) -> None:
    """Files of weights that must not be taken, and one that may."""
    args = argparse.Namespace(num_frames=8, input_size=32)
    good = {"model": official(vit(frames=8, size=32)), "args": args}
    torch.save(good, "good.pth")
    whole = Path("good.pth").read_bytes()
    Path("cut.pth").write_bytes(whole[: len(whole) // 2])
    torch.save({**good, "extra": Hostile(tmp_path / "run")}, "hostile.pth")
    torch.save({"state_dict": {"conv1.weight": torch.ones(2)}}, "unknown.pth")
    smaller = {name: tensor[:-1] if name == "norm.bias" else tensor for name, tensor in good["model"].items()}
    torch.save({**good, "model": smaller}, "size.pth")


WRONG = {
    "cut.pth": "cut.pth is no whole file of weights",
    "hostile.pth": "hostile.pth would run code while it is read: it names posix.system",
    "unknown.pth": "unknown.pth: its names are those of no known layout",
    "size.pth": "size.pth (videomae) does not fit this backbone: norm.bias is (31,) there, (32,) here",
    "gone.pth": "gone.pth: there is no such file or folder",
}


@pytest.mark.parametrize("name", WRONG)
def test_weights_that_must_not_be_taken(tiny: list[str], refused: Refused, bad_files: None, name: str) -> None:
    """For a start, an import and an evaluation: each names the file."""
    node = ["backbone=vit_nano", "backbone.embed_dim=32", "backbone.depth=2", "backbone.heads=2"]
    node += ["backbone.patch_size=8", "clip.frames=8", "clip.size=32"]
    assert WRONG[name] in refused("checkpoint", "import", name, "out=x", "backbone.heads=2")
    assert WRONG[name] in refused("pretrain", *tiny, "method=simsiam", *node, f"backbone.weights={name}")
    told = WRONG[name] if name != "gone.pth" else "encoder=gone.pth: there is no such folder or file"
    assert told in refused("evaluate", name, "eval=knn", "scale=smoke", "backbone.heads=2")
    assert not Path("run").exists(), "nothing of it was run"


def test_weights_of_another_architecture(tiny: list[str], refused: Refused, bad_files: None) -> None:
    told = "good.pth (videomae) does not fit this backbone"
    for backbone in ("timesformer_nano", "swin_nano", "r3d_nano"):
        words = ["method=simsiam", "scale=smoke", f"backbone={backbone}"]
        assert told in refused("pretrain", *words, "backbone.weights=good.pth")
        assert told in refused("checkpoint", "import", "good.pth", "out=x", f"backbone={backbone}")
    assert told in refused("evaluate", "good.pth", "backbone.heads=2", "backbone.depth=3", "eval=knn", "scale=smoke")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        *(["checkpoint", command, name] for command in ("inspect", "import") for name in ("cut.pth", "hostile.pth")),
        ["checkpoint", "import", "unknown.pth"],
        ["checkpoint", "import", "size.pth", "backbone.heads=2"],
        ["checkpoint", "export", "good.pth"],
        ["evaluate", "hostile.pth", "scale=smoke"],
        ["pretrain", "scale=smoke", "method=simsiam", "backbone=timesformer_nano", "backbone.weights=good.pth"],
        ["pretrain", "scale=smoke", "method=videomae", "backbone=r3d_nano"],
        ["pretrain", "scale=smoke", "method=simclr", "backbone=r3d_nano", "train.accumulate=8"],
        ["pretrain", "scale=smoke", "method=simclr", "backbone=r3d_nano", "views=single"],
    ],
    ids=" ".join,
)
def test_a_process_of_its_own_says_the_same(tiny: list[str], bad_files: None, tmp_path: Path, words: list[str]) -> None:
    out = ["out=x"] if words[0] == "checkpoint" and words[1] != "inspect" else []
    before = files(tmp_path)
    command = [sys.executable, "-m", "vssl", *words, *out]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("error: ") == 1 and "Traceback" not in done.stderr
    assert files(tmp_path) == before


def test_an_unfinished_run(tiny: list[str], refused: Refused, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", *tiny, "run.name=mine"]) == 0
    record = Path("runs/mine/record.json")
    record.write_text(record.read_text().replace('"status": "done"', '"status": "running"'))
    capfd.readouterr()
    assert "checkpoint=last to read what there is" in refused("evaluate", "runs/mine", "eval=knn")
    assert "allowed are checkpoint=final and checkpoint=last" in refused("evaluate", "runs/mine", "checkpoint=lst")
    assert main(["evaluate", "runs/mine", "eval=knn", "checkpoint=last"]) == 0
    assert read_record(Path(capfd.readouterr().out.strip()))["identity"]["encoder"]["checkpoint"] == "last"


def test_a_mistyped_run_folder(tiny: list[str], refused: Refused) -> None:
    assert main(["pretrain", *tiny, "run.name=mine"]) == 0
    assert "there is no such folder or file; did you mean 'mine'?" in refused("evaluate", "runs/mne", *tiny)
    assert "there is no folder run" in refused("table", "run")


def test_another_configuration_for_a_folder_in_use(tiny: list[str], refused: Refused) -> None:
    assert main(["pretrain", *tiny, "run.name=mine"]) == 0
    message = refused("pretrain", *tiny, "run.name=mine", "method.mask_ratio=0.5")
    assert "method.mask_ratio: there 0.9, now 0.5" in message


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_damaged_video_ends_the_work_and_is_named(
    tiny: list[str], videos: Path, capfd: pytest.CaptureFixture[str], workers: int
) -> None:
    """The request was right, the work failed: exit code 1, and a second start goes on once the file is whole."""
    words = [*tiny, *listed(videos, ROWS), "run.name=mine", f"run.workers={workers}", "data.num_videos=8"]
    words += ["train.batch_size=2", "budget.steps=8"]
    damaged = videos / "wave_2.mp4"
    whole = damaged.read_bytes()
    damaged.write_bytes(b"\0" * len(whole))  # of the same size: the same list
    assert main(["pretrain", *words]) == 1
    err = capfd.readouterr().err
    message = err[err.index("error: ") :]
    assert message.splitlines() == [
        "error: 1 of 8 videos cannot be read, and data.max_bad_fraction=0.05 allows 0: wave_2.mp4 (unreadable: cannot "
        "be opened: Invalid data found when processing input)",
        "  hint: `vssl data check FOLDER` finds them all; take them out of the list, or raise data.max_bad_fraction",
    ]
    assert read_record(Path("runs/mine"))["status"] == "failed"
    damaged.write_bytes(whole)
    assert main(["pretrain", *words]) == 0
    assert read_record(Path("runs/mine"))["budget"]["steps"] == 8
