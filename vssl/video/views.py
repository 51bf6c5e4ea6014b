"""What a clip is: how many frames, how far apart, how large, how augmented; and how the views of a sample relate.

The constructors are the schema of `configs/views/*.yaml`. Their defaults are the augmentation that all methods share,
so that methods which need one view and methods which need two see the same first clip.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vssl.records.hashes import hash_of
from vssl.video.augmentation.erase import Erase
from vssl.video.augmentation.fame import Fame
from vssl.video.augmentation.rand_augment import RandAugment
from vssl.video.checks import at_least, one_of, ordered, within
from vssl.video.published import dense, segments, walk
from vssl.video.relations.base import Relation
from vssl.video.relations.centre import Centre
from vssl.video.relations.independent import Independent
from vssl.video.sampling import (
    Pad,
    clamped_stride,
    clip_indices,
    clip_indices_by_time,
    span,
    span_by_time,
    spread_indices,
)

Crop = Literal["random_resized", "multi_scale"]
Colour = Literal["torchvision", "tensorflow"]
TooShort = Literal[Pad, "clamp_stride"]
Sampling = Literal["even", "videomae", "videomae_finetune", "segments"]


@dataclass(frozen=True)
class Clip:
    """What the backbone is built for, what evaluation reads, and the default of every view.

    Args:
        frames: sampled frames (T).
        stride: source frames from one sampled frame to the next.
        size: height and width in pixels.
    """

    frames: int = 16
    stride: int = 4
    size: int = 224

    def __post_init__(self) -> None:
        for name in ("frames", "stride", "size"):
            at_least(1, name, getattr(self, name))


@dataclass(frozen=True)
class Augment:
    """One augmentation, drawn once per clip and shared by its frames; the defaults are the shared one.

    Order: crop, flip, fame, rand_augment, jitter, grey, blur, solarise, erase; laws and sources: docs/augmentation.md.
    A clip that is cropped, turned and coloured as one keeps its motion; `per_frame` takes that away, for comparison.

    Args:
        crop: `random_resized` by area and aspect ratio, or `multi_scale`, VideoMAE's corner crops.
        crop_scale: least and largest area of the crop, as a share of the frame (`random_resized`).
        crop_ratio: least and largest width / height, drawn uniformly in the logarithm (`random_resized`).
        flip: probability of a mirror image, where the data set allows it.
        jitter: strengths of brightness, contrast, saturation (factors 1 - s to 1 + s) and hue (turns -s to s), applied
            in an order drawn per clip; 0 switches one off.
        jitter_p: probability of the jitter as a whole.
        grey_p: probability of greyscale.
        blur_p: probability of a Gaussian blur.
        blur_sigma: least and largest standard deviation in pixels; the kernel spans a tenth of the view.
        solarise_p: probability of inverting what is at least `solarise_threshold` bright.
        solarise_threshold: in [0, 1].
        colour: whose contrast and saturation the jitter has. `torchvision`: about the mean grey of each frame, about
            each pixel's grey. `tensorflow`: about the mean of each channel over the whole clip, in HSV.
        per_frame: everything but `fame` is drawn anew for each frame.
        rand_augment: RandAugment's operations; None is none.
        erase: random erasing; None is none.
        fame: moving foreground on another clip's background; None is none.
    Source of the defaults: SimSiam's `main_simsiam.py` ("MoCo v2's aug: similar to SimCLR").
    """

    crop: Crop = "random_resized"
    crop_scale: tuple[float, float] = (0.2, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    jitter_p: float = 0.8
    grey_p: float = 0.2
    blur_p: float = 0.5
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    solarise_p: float = 0.0
    solarise_threshold: float = 0.5
    colour: Colour = "torchvision"
    per_frame: bool = False
    rand_augment: RandAugment | None = None
    erase: Erase | None = None
    fame: Fame | None = None

    def __post_init__(self) -> None:
        one_of(get_args(Crop), "crop", self.crop)
        one_of(get_args(Colour), "colour", self.colour)
        for name in ("flip", "jitter_p", "grey_p", "blur_p", "solarise_p", "solarise_threshold"):
            within(0.0, 1.0, name, getattr(self, name))
        ordered("crop_scale", self.crop_scale, highest=1.0)
        ordered("crop_ratio", self.crop_ratio)
        ordered("blur_sigma", self.blur_sigma)
        if len(self.jitter) != 4 or min(self.jitter) < 0 or self.jitter[3] > 0.5:
            raise ValueError(
                f"jitter is {self.jitter}, allowed are 4 strengths of at least 0, the last (hue) up to 0.5"
            )
        if self.fame is not None and self.per_frame:
            raise ValueError(
                "fame is chosen and per_frame is true, allowed is one of them: a single frame does not move"
            )


@dataclass(frozen=True)
class View:
    """One named view of a sample.

    Args:
        frames: sampled frames (T).
        size: height and width in pixels after the crop.
        stride: source frames from one sampled frame to the next; either this or `fps`.
        fps: sampled frames per second of the video, whatever its own rate.
        augment: None is no augmentation: the centre square of the frame, no photometric operation.
        pad: what stands past the end of a video that is too short (see `clip_indices`); `clamp_stride` reads it at the
            largest stride that fits, and repeats its last frame only where even stride 1 does not.
        count: hands over so many views of these settings, `name.0`, `name.1`, ...
        share: instead of a stride or an fps: the frames are spread evenly over this share of the video, however long it
            is; a frame comes twice where there are fewer. Nothing is ever padded.
        sampling: `even`, by exactly this stride, or as released (`vssl.video.published`): `videomae` and
            `videomae_finetune` by stride, with paddings of their own, `segments` one frame from each of T equal parts
            of the video, drawn anew in each (TSN), with neither stride nor fps.
    """

    frames: int
    size: int
    stride: int | None = None
    fps: float | None = None
    augment: Augment | None = Augment()
    pad: TooShort = "repeat_last"
    count: int = 1
    share: float | None = None
    sampling: Sampling = "even"

    def __post_init__(self) -> None:
        for name in ("frames", "size", "count"):
            at_least(1, name, getattr(self, name))
        one_of(get_args(Sampling), "sampling", self.sampling)
        if self.share is not None:
            within(0.0, 1.0, "share", self.share)
        if self.share is not None or self.sampling == "segments":
            if self.stride is not None or self.fps is not None:
                what = "sampling is segments" if self.share is None else f"share is {self.share}"
                raise ValueError(f"{what}, allowed is no stride and no fps beside it")
        elif (self.stride is None) == (self.fps is None):
            raise ValueError(f"stride is {self.stride} and fps is {self.fps}, allowed is exactly one of them")
        if self.stride is not None:
            at_least(1, "stride", self.stride)
        if self.fps is not None and not self.fps > 0:
            raise ValueError(f"fps is {self.fps}, allowed is more than 0")
        one_of(get_args(TooShort), "pad", self.pad)
        if self.sampling != "even" and (self.share is not None or self.fps is not None or self.pad != "repeat_last"):
            raise ValueError(f"sampling is {self.sampling}, allowed is no share, no fps and no pad beside it")
        if self.pad == "clamp_stride" and self.stride is None:
            raise ValueError(f"pad is clamp_stride and fps is {self.fps}, allowed is a stride with it")
        if self.augment is not None and self.augment.fame is not None and self.frames < 2:
            raise ValueError(f"frames is {self.frames}, allowed is at least 2 with augment.fame: it looks for motion")

    def stride_in(self, video_len: int) -> int | None:
        """The stride at which a video of so many frames is read; None where the view has none."""
        if self.stride is None or self.pad != "clamp_stride":
            return self.stride
        return clamped_stride(self.frames, self.stride, video_len)

    def span(self, times: NDArray[np.float64]) -> int:
        """Source frames that the view covers in a video with frames at `times`; above their number: it is padded."""
        if self.sampling == "segments":
            return len(times)
        if self.sampling != "even":  # the released codes count the frames after the last one, too
            assert self.stride is not None, "released samplings go by stride"
            return self.frames * self.stride + (self.sampling == "videomae_finetune")
        if self.share is not None:
            return max(1, int(self.share * len(times)))
        if (stride := self.stride_in(len(times))) is not None:
            return span(self.frames, stride)
        assert self.fps is not None, "a view has a stride or an fps"
        return span_by_time(times, self.frames, self.fps)

    def indices(
        self, start: int, times: NDArray[np.float64], numbers: Iterator[float] | None = None
    ) -> NDArray[np.int64]:
        """(T,) frame indices of the view that begins at frame `start`. Raises ValueError, see `clip_indices`.

        Args:
            numbers: in [0, 1), of the sample's own, for a sampling that draws each frame.
        """
        if self.sampling == "segments":
            assert numbers is not None, "segments are drawn"
            return segments([next(numbers) for _ in range(self.frames)], len(times))
        if self.sampling != "even":
            assert self.stride is not None, "released samplings go by stride"
            if self.sampling == "videomae":
                return walk(start, self.frames, self.stride, len(times))
            return dense(start + self.frames * self.stride, self.frames, self.stride, len(times))
        if self.share is not None:
            return spread_indices(start, self.frames, self.span(times))
        pad: Pad = "repeat_last" if self.pad == "clamp_stride" else self.pad
        if (stride := self.stride_in(len(times))) is not None:
            return clip_indices(start, self.frames, stride, len(times), pad)
        assert self.fps is not None, "a view has a stride or an fps"
        return clip_indices_by_time(times, start, self.frames, self.fps, pad)

    def settings_hash(self) -> str:
        """64 hex digits over all settings but the name and the count: where the digest of this view starts."""
        settings = {**asdict(self), "count": 1}
        # What came later enters where it is used, so that digests of older runs stay comparable.
        if self.share is None:
            del settings["share"]
        if self.sampling == "even":
            del settings["sampling"]
        if self.augment is not None:
            unused = {name for name in _LATER if getattr(self.augment, name) == getattr(Augment, name)}
            settings["augment"] = {name: value for name, value in settings["augment"].items() if name not in unused}
        return hash_of(_floats(settings))


_LATER = ("colour", "per_frame", "rand_augment", "erase", "fame")


class Views:
    """The views that a method is given, by name; their order is their position, and draws go by position.

    Args:
        relation: how they lie to each other in time.
        repeats: samples, each with draws of its own, that are made of a video that is decoded once (repeated
            augmentation); `train.batch_size` counts all of them, and an epoch has so many of each video.
        views: one per name.
    """

    def __init__(
        self,
        relation: Relation = Independent(),  # noqa: B008 (it has no state)
        repeats: int = 1,
        **views: View,
    ) -> None:
        at_least(1, "repeats", repeats)
        if not views:
            raise ValueError("there is no view, allowed is at least one")
        for name in views:
            if not re.fullmatch(r"[A-Za-z_]\w*", name):
                raise ValueError(f"a view is named {name!r}, allowed are letters, digits and _")
        self.relation, self.repeats = relation, repeats
        self.positions: tuple[tuple[str, View], ...] = tuple(
            (name if view.count == 1 else f"{name}.{place}", replace(view, count=1))
            for name, view in views.items()
            for place in range(view.count)
        )
        relation.check(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.positions)


def evaluation_views(clip: Clip, pad: Pad = "repeat_last") -> Views:
    """What evaluation reads: one view `clip`, the middle of the video, its centre square, nothing drawn."""
    view = View(frames=clip.frames, size=clip.size, stride=clip.stride, augment=None, pad=pad)
    return Views(relation=Centre(), clip=view)


def _floats(settings: object) -> object:
    """1 and 1.0 are one setting, (1, 2) and [1, 2] as well."""
    if isinstance(settings, dict):
        return {name: _floats(value) for name, value in settings.items()}
    if isinstance(settings, list | tuple):
        return [_floats(value) for value in settings]
    return float(settings) if isinstance(settings, int) else settings
