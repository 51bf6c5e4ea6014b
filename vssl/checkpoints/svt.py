"""SVT as released: a DINO training of a TimeSformer, of which the teacher's backbone is taken.

Source: kahnchana/svt@1eaf35c: train_ssl.py (what is saved), utils/defaults.py (the pixels' mean and deviation).
Unverified: that its training does not override these.
"""

from vssl.checkpoints.timesformer import TimeSformerOfficial


class Svt(TimeSformerOfficial):
    """`teacher` holds `backbone.` and `head.`; the student is left where it is."""

    name = "svt"
    told = "official SVT, the teacher's TimeSformer (kahnchana/svt)"
    containers = (("teacher",),)
    prefixes = ("module.", "backbone.")
    left_out = ((r"head\.(.+\.)?\w+", "the projection head of the training"),)
