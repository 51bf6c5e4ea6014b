import io
import logging

import pytest
from rich.console import Console

from vssl.evaluation import progress
from vssl.evaluation.progress import track
from vssl.evaluation.settings import Evaluation


class Clock:
    """Time that goes on by `step_s` whenever it is asked for."""

    def __init__(self, step_s: float) -> None:
        self.now, self.step_s = 0.0, step_s

    def monotonic(self) -> float:
        self.now += self.step_s
        return self.now


def test_without_a_terminal_a_line_now_and_then_says_the_time_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "time", Clock(step_s=10.0))
    with caplog.at_level(logging.INFO, logger="vssl"):
        assert list(track("abcdef", 6, "features of 6 videos")) == list("abcdef")
    # Every second item is 15 s after the last line; the end needs none.
    assert [record.message for record in caplog.records] == [
        "features of 6 videos: 2 of 6, 40 s left",
        "features of 6 videos: 4 of 6, 20 s left",
    ]


def test_a_short_loop_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="vssl"):
        assert list(track(range(3), 3, "quick")) == [0, 1, 2]
    assert not caplog.records


def test_a_terminal_shows_a_bar_that_goes_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda stderr: Console(file=screen, force_terminal=True, width=100))
    with caplog.at_level(logging.INFO, logger="vssl"):
        assert list(track(iter("abc"), 3, "features of 3 videos")) == list("abc")
    assert "features of 3 videos" in screen.getvalue() and "left" in screen.getvalue()
    assert not caplog.records


@pytest.mark.parametrize(
    ("label", "labels"), [("motion", ("motion",)), (["motion", "shape"], ("motion", "shape")), (None, None)]
)
def test_one_label_or_several(label: str | list[str] | None, labels: tuple[str, ...] | None) -> None:
    assert Evaluation(label).labels == labels


def test_a_batch_holds_a_clip() -> None:
    with pytest.raises(ValueError, match="batch_size=0 must be 1 or more"):
        Evaluation(batch_size=0)
