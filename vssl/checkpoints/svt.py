"""SVT as released: a DINO training of a TimeSformer, of which the teacher's backbone is taken.

Source: kahnchana/svt@1827106: train_ssl.py (what is saved), eval_knn.py, eval_linear.py (which read the teacher alone),
datasets/transform.py (ImageNet's mean and deviation in training; its evaluation takes others).
"""

from vssl.backbones.base import IMAGENET_MEAN, IMAGENET_STD
from vssl.checkpoints.files import Opened
from vssl.checkpoints.timesformer import TimeSformerOfficial

TEACHER = "teacher"


class Svt(TimeSformerOfficial):
    """The teacher holds `backbone.` and `head.`, by its key or as the whole file; the student is left where it is."""

    name = "svt"
    told = "official SVT, the teacher's TimeSformer (kahnchana/svt)"
    containers = ((TEACHER,), ())
    prefixes = ("module.", "backbone.")
    left_out = ((r"head\.(.+\.)?\w+", "the projection head of the training"),)
    mean, std = IMAGENET_MEAN, IMAGENET_STD

    def recognises(self, opened: Opened) -> bool:
        alone = any(name.startswith("backbone.") for name in opened.content)
        return self.fits(opened) and (TEACHER in opened.content or alone)
