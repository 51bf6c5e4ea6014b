"""`data=webdataset`: shards give the clips of the plain files; what is wrong in one is told with shard and member."""

import gzip
import os
import pickle
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from datamodules.video_list import VideoList
from datamodules.webdataset import WebDataset
from tests.conftest import write_grey_video
from tests.datamodules.packing import add, clips, pack, same
from vssl.cli.main import main
from vssl.config.errors import ConfigError, UserError
from vssl.video.decoding.addresses import read_bytes
from vssl.video.decoding.errors import VideoError
from vssl.video.lists import tar_index

CLASSES = ("clap", "wave")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 videos of different lengths, a class folder each, to train on; 4 to test."""
    root = tmp_path_factory.mktemp("plain")
    for i in range(16):
        part = "train" if i < 12 else "test"
        write_grey_video(root / part / CLASSES[i % 2] / f"{i:02d}.mp4", frames=12 + i, size=(32, 48), gop=5)
    return root


@pytest.fixture(scope="module")
def packed(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same videos in two training shards and a test shard, with their class in a .cls each."""
    root = tmp_path_factory.mktemp("packed")
    for part, shards in (("train", 2), ("test", 1)):
        files = sorted((plain / part).rglob("*.mp4"))
        for number in range(shards):
            members: dict[str, bytes | str | Path] = {}
            for file in files[number * 6 : (number + 1) * 6]:
                name = str(file.relative_to(plain / part))
                members |= {name: file, name.replace(".mp4", ".cls"): str(CLASSES.index(file.parent.name))}
            pack(root / f"{part}-{number:03d}.tar", members)
    (root / "classes.txt").write_text("\n".join(CLASSES))
    return root


def opened(root: Path, **settings: object) -> WebDataset:
    given = {"train_shards": "train-{000..001}.tar", "test_shards": "test-*.tar", **settings}
    return WebDataset(str(root), **given)


@pytest.mark.parametrize("decoder", ["pyav", "prepared"])
def test_the_clips_are_those_of_the_plain_files(plain: Path, packed: Path, cache: Path, decoder: str) -> None:
    files, shards = VideoList(str(plain), decoder=decoder), opened(packed, decoder=decoder)
    assert shards.classes == files.classes == {"label": CLASSES}
    assert shards.split_rule == "by shards (2 train, 1 test shards)"
    for split in ("train", "test"):
        ours, theirs = shards.samples(split), files.samples(split)
        assert [f"{split}/{one}.mp4" for one in ours.id] == theirs.id.tolist()
        pairs = list(zip(clips(shards, ours), clips(files, theirs), strict=True))
        assert [same(one, other) for one, other in pairs] == [True] * len(pairs)
    assert not same(pairs[0][0], pairs[1][1])


def test_what_a_member_is_enters_the_content_hash_and_where_the_shard_lies_does_not(
    packed: Path, plain: Path, cache: Path, tmp_path: Path
) -> None:
    here = opened(packed).content_hash()
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in packed.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    assert opened(moved).content_hash() == here
    longer = next((plain / "test").rglob("*.mp4")).read_bytes() + b"\0"
    pack(moved / "test-000.tar", {"clap/12.mp4": longer, "clap/12.cls": "0"})
    assert opened(moved).content_hash() != here


@pytest.mark.parametrize(
    ("train", "names"),
    [
        ("train-{000..001}.tar", ["train-000.tar", "train-001.tar"]),
        ("t{rain,est}-000.tar", ["train-000.tar", "test-000.tar"]),
        ("train-*.tar", ["train-000.tar", "train-001.tar"]),
        ("train-001.tar :: train-000.tar", ["train-001.tar", "train-000.tar"]),
        (["train-001.tar", "te*{0..0}.tar"], ["train-001.tar", "test-000.tar"]),
    ],
)
def test_patterns_name_shards_in_their_order(
    packed: Path, cache: Path, train: str | list[str], names: list[str]
) -> None:
    paths = opened(packed, train_shards=train, test_shards=None).listing.samples.path
    files = [path.partition(",,:")[2].partition("\0")[0] for path in paths]
    assert list(dict.fromkeys(files)) == [str(packed / name) for name in names]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"train_shards": "train-{000..002}.tar"},
            r"no shard .*/train-002\.tar, which train-\{000\.\.002\}\.tar names",
        ),
        ({"train_shards": "trian-*.tar"}, r"data\.train_shards: trian-\*\.tar fits no file below"),
        ({"train_shards": "train-{3..1}.tar"}, r"\{3\.\.1\} counts down"),
        ({"train_shards": "train-{000.tar"}, "a brace is not closed"),
        ({"train_shards": "train-{000}.tar"}, "in braces stands a range"),
        (
            {"train_shards": "train-000.tar::train-*.tar"},
            r"train-000\.tar is named twice, by train-000\.tar and by train-\*",
        ),
        ({"test_shards": "train-*.tar"}, r"train-000\.tar is one of data\.train_shards, too"),
        ({"train_shards": "https://nowhere/train-*.tar"}, r"with braces, not with \*"),
        ({"train_shards": "nowhere://train-0.tar"}, "nowhere.* cannot be read"),
    ],
)
def test_a_pattern_that_names_the_wrong_shards_is_refused(
    packed: Path, cache: Path, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        opened(packed, **settings).samples("train")
    assert not cache.exists()


VIDEO = b"\0\0\0\x18ftypmp42"  # enough for a list, which opens no video


def links(shard: Path, kind: bytes) -> None:
    with tarfile.open(shard, "w") as tar:
        add(tar, "a/1.mp4", VIDEO)
        add(tar, "a/2.mp4", b"", type=kind, linkname="a/1.mp4")


def sparse(shard: Path) -> None:
    """The GNU form 1.0: a map of the data stands before them."""
    pax = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "a/1.mp4",
        "GNU.sparse.realsize": "4096",
    }
    with tarfile.open(shard, "w", format=tarfile.PAX_FORMAT) as tar:
        add(tar, "GNUSparseFile.0/1.mp4", b"1\n0\n512\n".ljust(512, b"\0") + bytes(512), pax_headers=pax)


def cut(shard: Path, keep: Callable[[bytes], int]) -> None:
    content = pack(shard, {"a/1.mp4": VIDEO * 200, "a/2.mp4": VIDEO * 200}).read_bytes()
    shard.write_bytes(content[: keep(content)])


def damaged(shard: Path) -> None:
    content = bytearray(pack(shard, {"a/1.mp4": VIDEO, "a/2.mp4": VIDEO}).read_bytes())
    content[1024 + 148] ^= 1  # the check sum of the second header
    shard.write_bytes(content)


def backwards(shard: Path) -> None:
    """A size below zero, on which some versions of `tarfile` go round for ever."""
    content = bytearray(pack(shard, {"a/1.mp4": VIDEO}).read_bytes())
    content[124:136] = b"\xff" * 10 + b"\xfc\x00"
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    shard.write_bytes(content)


def joined(shard: Path) -> None:
    content = pack(shard, {"a/1.mp4": VIDEO}).read_bytes()
    shard.write_bytes(content + content)


def labelled(**members: str | bytes) -> Callable[[Path], None]:
    named = {f"a/1.{suffix.replace('_', '.')}": content for suffix, content in members.items()}
    return lambda shard: pack(shard, {"a/1.mp4": VIDEO, **named}) and None


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut in a video": (lambda s: cut(s, lambda c: 2000), r"cut short or damaged in member a/1\.mp4"),
    "cut in the last video": (lambda s: cut(s, lambda c: 4500), r"cut short or damaged in member a/2\.mp4"),
    "cut in a header": (lambda s: cut(s, lambda c: 3072 + 300), r"after member a/1\.mp4, at byte 3072 of 3372"),
    "cut between members": (lambda s: cut(s, lambda c: 3072), r"after member a/1\.mp4, at byte 3072 of 3072"),
    "cut before the end mark": (lambda s: cut(s, lambda c: 6144 + 512), r"the end mark of a tar is missing"),
    "a damaged header": (damaged, r"cut short or damaged after member a/1\.mp4, at byte 1024"),
    "a size below zero": (backwards, r"member a/1\.mp4: its header is damaged|cut short or damaged|this is no tar"),
    "two archives": (joined, "and more follows"),
    "compressed": (lambda s: s.write_bytes(gzip.compress(VIDEO)), r"is compressed \(gzip\)\n.*unpack it"),
    "no tar": (lambda s: s.write_bytes(VIDEO * 100), "this is no tar"),
    "nothing": (lambda s: s.touch(), "the file has 0 bytes"),
    "no video": (lambda s: pack(s, {"a/1.cls": "0"}), "the shard holds no video"),
    "a hard link": (lambda s: links(s, tarfile.LNKTYPE), r"member a/2\.mp4: this is a link\n"),
    "a symbolic link": (lambda s: links(s, tarfile.SYMTYPE), r"member a/2\.mp4: this is a link\n"),
    "a sparse file": (sparse, r"member .*1\.mp4: this is no plain file"),
    "two videos": (
        lambda s: pack(s, {"a/1.x.mp4": VIDEO, "a/1.y.avi": VIDEO}),
        r"1\.y\.avi: sample 'a/1' already has a/1\.x",
    ),
    "a name in a .cls": (labelled(cls="wave"), r"member a/1\.cls: a \.cls holds a whole number from 0 on; .* 'wave'"),
    "no text": (labelled(cls=b"\xff"), r"member a/1\.cls: this is no UTF-8"),
    "no JSON": (labelled(json="{"), r"member a/1\.json: this is no JSON"),
    "a label of another kind": (
        labelled(json='{"label": [1]}'),
        r"'label' has to be a whole number or text; it is \[1\]",
    ),
    "a label below zero": (labelled(json='{"label": -1}'), "'label' is -1; classes are counted from 0"),
    "a large label": (labelled(cls="0" * (tar_index.LABEL_BYTES + 1)), "a label of 1048577 bytes"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_shard_is_refused_with_one_message_and_leaves_nothing(tmp_path: Path, cache: Path, what: str) -> None:
    make, message = BAD[what]
    shard = tmp_path / "bad.tar"
    make(shard)
    with pytest.raises(UserError, match=message) as caught:
        WebDataset(str(tmp_path), train_shards="bad.tar").samples("train")
    assert str(caught.value).startswith(str(shard))
    assert caught.value.exit_code == 2
    assert not cache.exists()


ODD_NAMES = ("../../up/1", "/absolute/2", "x" * 200 + "/3", "dir.with.dots/4", "видео, [5]", "latin\udce9/6", "./7")


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_odd_names_are_read_and_lead_nowhere(tmp_path: Path, cache: Path, form: int) -> None:
    members: dict[str, bytes | str | Path] = {f"{name}.mp4": VIDEO + bytes([i]) for i, name in enumerate(ODD_NAMES)}
    members |= {"._8.mp4": VIDEO, "notes": VIDEO, ".mp4": VIDEO}
    pack(tmp_path / "odd.tar", members, form)
    (tmp_path / "odd.tar").open("ab").close()
    samples = WebDataset(str(tmp_path), train_shards="odd.tar").samples("unlabelled")
    assert samples.id.tolist() == [name.removeprefix("./") for name in ODD_NAMES]
    assert [read_bytes(path)[-1] for path in samples.path.tolist()] == list(range(len(ODD_NAMES)))


def many(root: Path, labels: dict[str, str], form: str = "cls", shard: str = "train.tar") -> None:
    members: dict[str, bytes | str | Path] = {}
    for key, label in labels.items():
        members |= {f"{key}.mp4": VIDEO} | ({f"{key}.{form}": label} if label else {})
    pack(root / shard, members)


@pytest.mark.parametrize(
    ("form", "labels", "settings", "classes"),
    [
        ("cls", "01", {}, ("0", "1")),
        ("cls", "01", {"classes": ["wave", "clap"]}, ("wave", "clap")),
        ("txt", ("wave", "clap"), {}, ("clap", "wave")),
        ("json", ('{"label": 1}', '{"label": 0}'), {}, ("0", "1")),
        ("json", ('{"action": "wave"}', '{"action": "clap"}'), {"label_key": "action"}, ("clap", "wave")),
    ],
)
def test_labels_of_every_form(
    tmp_path: Path, cache: Path, form: str, labels: tuple[str, str], settings: dict[str, object], classes: tuple[str]
) -> None:
    many(tmp_path, {f"{i}": labels[i % 2] for i in range(12)}, form)
    data = WebDataset(str(tmp_path), train_shards="train.tar", **settings)
    assert data.classes == {"label": classes}
    expected = {str(i): label_index(labels[i % 2], classes) for i in range(12)}
    every = {**found(data, "train"), **found(data, "test")}
    assert every == expected
    assert len(found(data, "test")) == 2
    assert data.split_rule.startswith("our split: a fifth of the videos")


def label_index(text: str, classes: tuple[str]) -> int:
    value = re.findall(r"\w+", text)[-1]
    return classes.index(value) if value in classes else int(value)


def found(data: WebDataset, split: str) -> dict[str, int]:
    samples = data.samples(split)  # type: ignore[arg-type]
    return dict(zip(samples.id.tolist(), samples.labels["label"].tolist(), strict=True))


def test_without_labels_all_is_for_pretraining(tmp_path: Path, cache: Path) -> None:
    many(tmp_path, dict.fromkeys("abc", "one line\nand another: a caption"), "txt")
    many(tmp_path, {"d": "0"}, shard="more.tar")
    data = WebDataset(str(tmp_path), train_shards="train.tar", unlabelled_shards="more.tar")
    assert data.pretraining().id.tolist() == ["a", "b", "c", "d"]
    assert (data.classes, len(data.samples("train")), len(data.samples("test"))) == ({}, 0, 0)


def test_a_sample_without_a_video_is_counted(tmp_path: Path, cache: Path) -> None:
    pack(tmp_path / "train.tar", {"a.mp4": VIDEO, "a.cls": "0", "b.cls": "1", "c.mp4": VIDEO, "c.cls": "1"})
    with pytest.raises(UserError, match="is outside|in the test split"):
        WebDataset(str(tmp_path), train_shards="train.tar", classes=["x"]).samples("train")
    data = WebDataset(str(tmp_path), train_shards="train.tar")
    assert data.split_rule.endswith("(1 train shards); 1 samples have no video")


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (
            lambda r: many(r, {"a": "0", "b": "1", "c": ""}),
            {},
            r"1 of 3 samples have no label; the first is .*member c\.mp4",
        ),
        (
            lambda r: (many(r, {"a": "0"}), many(r, {"b": "1"}, "txt", "x.tar")),
            {},
            r"a\.mp4 is in a \.cls, that of .*b\.mp4 in a \.txt",
        ),
        (
            lambda r: (many(r, {"a": '{"label": 1}'}, "json"), many(r, {"b": '{"label": "x"}'}, "json", "x.tar")),
            {},
            r"a\.mp4 is in a \.json \(number\), that of .*b\.mp4 in a \.json \(text\)",
        ),
        (
            lambda r: (many(r, {"a": "0"}), many(r, {"a": "1"}, shard="x.tar")),
            {},
            r"x\.tar, member a\.mp4: sample 'a' is already in .*train\.tar, member a\.mp4",
        ),
        (
            lambda r: (many(r, {"a": "0", "b": "1"}), many(r, {"c": ""}, shard="test.tar")),
            {"test_shards": "test.tar"},
            "test samples need a label",
        ),
        (
            lambda r: (many(r, {"a": ""}), many(r, {"c": "0"}, shard="test.tar")),
            {"test_shards": "test.tar"},
            "no sample of data.train_shards has a label",
        ),
        (
            lambda r: many(r, {"a": '{"klass": 1}'}, "json"),
            {"label_from": "json"},
            r"there is no 'label'; it has klass\n.*label_key",
        ),
        (
            lambda r: many(r, {"a": "0", "b": "7"}),
            {"classes": ["x", "y"]},
            r"train\.tar, member b\.mp4: label 7 is outside 0\.\.1",
        ),
    ],
)
def test_labels_that_do_not_fit_together_are_refused(
    tmp_path: Path, cache: Path, make: Callable[[Path], object], settings: dict[str, object], message: str
) -> None:
    make(tmp_path)
    pattern = "train.tar::x.tar" if (tmp_path / "x.tar").exists() else "train.tar"
    with pytest.raises(UserError, match=message):
        WebDataset(str(tmp_path), train_shards=pattern, **settings).samples("train")


def test_a_shard_is_read_once_until_it_changes(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(tmp_path, {"a": "", "b": ""})
    read: list[str] = []
    real = tar_index._read
    monkeypatch.setattr(tar_index, "_read", lambda shard, *rest: (read.append(shard), real(shard, *rest))[1])

    def ids(**settings: object) -> list[str]:
        return WebDataset(str(tmp_path), train_shards="train.tar", **settings).pretraining().id.tolist()

    assert ids() == ids() == ["a", "b"]
    assert len(read) == 1
    many(tmp_path, {"c": ""})
    assert ids() == ["c"]
    (index,) = [file for file in (cache / "shards").iterdir() if file.stat().st_mtime_ns == newest(cache / "shards")]
    index.write_bytes(index.read_bytes()[:100])  # a file system that lost its end
    assert ids() == ["c"]
    assert ids(label_key="other") == ["c"]
    assert len(read) == 4
    assert not [file for file in (cache / "shards").iterdir() if ".tmp" in file.name]


def newest(folder: Path) -> int:
    return max(file.stat().st_mtime_ns for file in folder.iterdir())


def test_a_reader_of_shards_goes_to_a_worker_and_keeps_no_file_open(packed: Path, cache: Path) -> None:
    data = opened(packed)
    reader, paths = pickle.loads(pickle.dumps(data.reader)), data.samples("train").path.tolist()
    before = len(os.listdir("/proc/self/fd"))
    for i in range(500):
        with reader.open(paths[i % len(paths)]) as video:
            assert len(video.times) >= 12
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_shard_that_changes_under_a_reader_is_a_typed_error(packed: Path, cache: Path, tmp_path: Path) -> None:
    shard = tmp_path / "train-000.tar"
    shard.write_bytes((packed / "train-000.tar").read_bytes())
    data = WebDataset(str(tmp_path), train_shards="train-000.tar", label_from="none")
    path = str(data.pretraining().path[-1])
    os.truncate(shard, 3000)
    with (
        pytest.raises(VideoError, match=r"train-000\.tar, member .*\.mp4: unreadable: .*it ends at byte \d+ of a file"),
        data.reader.open(path),
    ):
        pass
    shard.unlink()
    with (
        pytest.raises(VideoError, match=r"train-000\.tar, member .*\.mp4: unreadable: .*No such file"),
        data.reader.open(path),
    ):
        pass
    with pytest.raises(UserError, match="there is no shard"):
        WebDataset(str(tmp_path), train_shards=str(shard)).samples("train")


def test_shards_are_trained_on_by_workers_and_a_damaged_member_is_counted(
    tiny: list[str], packed: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "damaged"
    root.mkdir()
    for file in packed.iterdir():
        (root / file.name).write_bytes(file.read_bytes())
    content = bytearray((root / "train-000.tar").read_bytes())
    content[512:1024] = bytes(512)  # the first member's own header
    (root / "train-000.tar").write_bytes(content)
    words = [*tiny, "data=webdataset", f"data.root={root}", "data.train_shards=train-{000..001}.tar", "method=simsiam"]
    words += ["data.test_shards=test-*.tar", "run.workers=2", "run.name=mine", "data.max_bad_fraction=0.2"]
    assert main(["pretrain", *words, "train.batch_size=4", "budget.steps=3"]) == 0, capfd.readouterr().err
    record = (tmp_path / "runs" / "mine" / "record.json").read_text()
    assert '"clap/00"' in record
    assert "moov atom not found" in record or "Invalid data" in record
    assert main(["pretrain", *words, "run.name=strict", "run.workers=0", "data.max_bad_fraction=0"]) == 1
    assert re.search(r"clap/00 \(unreadable: cannot be opened", capfd.readouterr().err)
