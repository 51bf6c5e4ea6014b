"""Which decoders there are."""

from vssl.video.decoding.decode import PyAVReader, Reader
from vssl.video.decoding.decord_reader import DecordReader
from vssl.video.decoding.errors import Limits
from vssl.video.decoding.frame_folder import FrameFolderReader
from vssl.video.decoding.libraries import refuse_absent
from vssl.video.decoding.torchcodec_reader import TorchcodecReader


def reader_of(decoder: str, limits: Limits, frames_fps: float) -> Reader:
    """The reader that `data.decoder` names; with "prepared", the one that fills the memory map.

    Raises ConfigError where it needs a library that is not there.
    """
    refuse_absent(decoder)
    if decoder == "torchcodec":
        return TorchcodecReader(limits)
    if decoder == "decord":
        return DecordReader(limits)
    if decoder == "frames":
        return FrameFolderReader(frames_fps, limits)
    return PyAVReader(limits)
