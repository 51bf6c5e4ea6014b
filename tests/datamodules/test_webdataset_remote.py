"""Shards on a server: the same clips by ranged reads; what fails is tried again, then told; nothing is half-written."""

import contextlib
import re
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from datamodules.webdataset import WebDataset
from tests.conftest import write_grey_video
from tests.datamodules.packing import clips, pack, same
from vssl.cli.main import main
from vssl.config.errors import ConfigError, WorkError
from vssl.video.decoding import remote
from vssl.video.decoding.errors import VideoError

pytest.importorskip("aiohttp")
pytest.importorskip("fsspec")


class Server(ThreadingHTTPServer):
    """Serves the files of a folder.

    ranges: whether parts are given. fault: of each request for a part, None or "500", "404", "cut", "short".
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.ranges = folder, True
        self.fault: Callable[[int], str | None] = lambda start: None
        self.asked: list[tuple[str, int, int]] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        file = self.server.folder / self.path[1:]
        self.send_response(200 if file.is_file() else 404)
        self.send_header("Content-Length", str(file.stat().st_size) if file.is_file() else "0")
        self.send_header("ETag", f'"{file.stat().st_mtime_ns}"' if file.is_file() else "")
        self.end_headers()

    def do_GET(self) -> None:
        file = self.server.folder / self.path[1:]
        if not file.is_file():
            return self.send_error(404)
        content, wanted = file.read_bytes(), re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, end = (int(wanted[1]), int(wanted[2]) + 1) if wanted else (0, len(content))
        self.server.asked.append((self.path[1:], start, end))
        fault = self.server.fault(start)
        if fault in ("500", "404"):
            return self.send_error(int(fault))
        if not self.server.ranges:
            start, end, wanted = 0, len(content), None
        self.send_response(206 if wanted else 200)
        part = content[start:end]
        if fault == "short":
            part = part[:-1]
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # a client that has seen enough
            self.server.sent += self.wfile.write(part[: len(part) // 2] if fault == "cut" else part)
        return None


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(remote, "FIRST_WAIT_S", 0.0)
    server = Server(tmp_path / "served")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def served(server: Server, tmp_path: Path) -> Path:
    """Two shards of 6 videos each, 90 KB and more apart, as the headers of real videos are."""
    for number in range(2):
        members: dict[str, bytes | str | Path] = {}
        for i in range(6 * number, 6 * number + 6):
            file = write_grey_video(tmp_path / f"{i:02d}.mp4", frames=12 + i, size=(32, 48), gop=5)
            members |= {f"{i:02d}.mp4": file.read_bytes() + bytes(90_000), f"{i:02d}.cls": str(i % 2)}
        pack(server.folder / f"train-{number}.tar", members)
    return server.folder


def there(server: Server, **settings: object) -> WebDataset:
    return WebDataset(train_shards=f"{server.url}/train-{{0..1}}.tar", **settings)


def test_the_clips_are_those_of_the_shards_on_disk(server: Server, served: Path, cache: Path) -> None:
    here = WebDataset(str(served), train_shards="train-{0..1}.tar")
    far = there(server)
    for split in ("train", "test"):
        ours, theirs = far.samples(split), here.samples(split)
        assert ours.id.tolist() == theirs.id.tolist()
        assert all(same(a, b) for a, b in zip(clips(far, ours), clips(here, theirs), strict=True))
    assert far.content_hash() == here.content_hash()
    before = len(server.asked)
    assert there(server).samples("train").id.tolist() == far.samples("train").id.tolist()
    assert len(server.asked) == before + 2  # whether parts are given, and no index again


def test_an_index_reads_headers_only(server: Server, tmp_path: Path, cache: Path) -> None:
    pack(server.folder / "train-0.tar", {f"{i}.mp4": b"x" * 1_000_000 for i in range(5)})
    WebDataset(train_shards=f"{server.url}/train-0.tar").pretraining()
    assert server.sent < 6 * 2 * remote.BLOCK_BYTES


@pytest.mark.parametrize("fault", ["500", "cut", "short"])
def test_what_passes_is_tried_again(server: Server, served: Path, cache: Path, fault: str) -> None:
    seen: dict[int, int] = {}

    def twice(start: int) -> str | None:
        seen[start] = seen.get(start, 0) + 1
        return fault if seen[start] <= 2 and start > 1 else None

    server.fault = twice
    data = there(server)
    assert len(data.listing.samples) == 12
    assert len(clips(data, data.samples("train"))) == len(data.samples("train"))
    assert max(seen.values()) > 2


@pytest.mark.parametrize(
    ("fault", "message", "tries"),
    [("500", r"500.*\(4 tries\)", 4), ("404", "the server has no such file", 1), ("cut", r"\(4 tries\)", 4)],
)
def test_an_index_that_fails_midway_is_told_and_not_kept(
    server: Server, served: Path, cache: Path, fault: str, message: str, tries: int
) -> None:
    server.fault = lambda start: fault if start > 300_000 else None
    with pytest.raises(
        WorkError, match=rf"train-\d\.tar: reading fails after byte \d+ of \d+: .*({message})"
    ) as caught:
        there(server).samples("train")
    assert int(re.findall(r"after byte (\d+)", str(caught.value))[0]) > 100_000
    one = [(name, start) for name, start, _ in server.asked if start > 300_000]
    assert one.count(one[0]) == tries
    assert list(cache.glob("**/*.tar")) == [file for file in cache.glob("**/*") if file.is_file()] == []
    server.fault = lambda start: None
    assert len(there(server).listing.samples) == 12


def test_a_member_that_fails_is_a_typed_error_and_counted_in_training(
    server: Server, served: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    data = there(server)
    path = str(data.listing.samples.path[3])
    start = int(re.findall(r"start,(\d+)", path)[0])
    server.fault = lambda at: "500" if at == start else None
    message = r"/train-0\.tar, member 03\.mp4: unreadable: cannot be opened: .*\(4 tries\)"
    with pytest.raises(VideoError, match=message), data.reader.open(path):
        pass
    words = [*tiny, "data=webdataset", f"data.train_shards={server.url}/train-{{0..1}}.tar", "method=simsiam"]
    words += ["train.batch_size=4", "budget.steps=4", "run.workers=0", "run.name=mine", "data.max_bad_fraction=0.2"]
    monkeypatch.setenv("VSSL_CACHE", str(cache))
    assert main(["pretrain", *words]) == 0, capfd.readouterr().err
    assert '"03"' in (tmp_path / "runs" / "mine" / "record.json").read_text()


def test_a_server_that_ignores_ranges_is_refused_before_much_is_read(
    server: Server, tmp_path: Path, cache: Path
) -> None:
    pack(server.folder / "train-0.tar", {"a.mp4": bytes(200_000_000)})
    server.ranges = False
    with pytest.raises(WorkError, match=r"train-0\.tar cannot be read: the server does not give parts of a file"):
        WebDataset(train_shards=f"{server.url}/train-0.tar").pretraining()
    assert not cache.exists()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a.tar", "{server}/gone.tar"])
def test_a_shard_or_server_that_is_not_there(server: Server, cache: Path, url: str) -> None:
    with pytest.raises(WorkError, match=r"the shard http://.*\.tar cannot be read: "):
        WebDataset(train_shards=url.format(server=server.url)).pretraining()
    assert not cache.exists()


@pytest.mark.parametrize("missing", ["fsspec", "aiohttp"])
def test_without_the_library_it_says_how_to_install_it(
    server: Server, served: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        ConfigError, match=rf"data\.train_shards: http:// .*{missing}.*\n.*pip install 'vssl\[remote\]'"
    ):
        there(server).samples("train")
    assert server.asked == []
    assert len(WebDataset(str(served), train_shards="train-*.tar").listing.samples) == 12
