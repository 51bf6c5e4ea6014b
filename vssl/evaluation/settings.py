"""The node `eval`: which label is asked for, how features are read, and one protocol a name."""

from vssl.evaluation.protocol import Precision, Protocol


class Evaluation:
    """What an encoder is asked; `eval=knn,linear` fills the protocols in.

    Args:
        label: label name(s); None: `data.label`, else the first label of the data set.
        batch_size: clips in one forward pass of the encoder.
        precision: arithmetic of the encoder while its features are read; probes always compute in fp32.
        protocols: by the name under which records and tables show them.
    """

    def __init__(
        self,
        label: str | list[str] | None = None,
        batch_size: int = 64,
        precision: Precision = "fp32",
        **protocols: Protocol,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} must be 1 or more")
        self.labels = (label,) if isinstance(label, str) else tuple(label) if label is not None else None
        self.batch_size, self.precision, self.protocols = batch_size, precision, protocols
