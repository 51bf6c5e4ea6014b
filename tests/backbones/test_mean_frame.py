import pytest
import torch

from vssl.backbones.mean_frame import MeanFrame


def test_features_are_the_pooled_normalised_mean_over_time() -> None:
    torch.manual_seed(0)
    clip = torch.rand(2, 3, 5, 32, 32)
    encoder = MeanFrame(size=32)
    features = encoder(clip).view(2, 3, 16, 16)
    corner = clip[1, 2, :, :2, 2:4].mean()
    assert features[1, 2, 0, 1].item() == pytest.approx(((corner - 0.406) / 0.225).item(), rel=1e-5)
    assert encoder.embed_dim == 768 and encoder(clip).shape == (2, 768)


def test_small_clips_are_not_pooled() -> None:
    clip = torch.rand(1, 3, 2, 12, 12)
    encoder = MeanFrame(size=12, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    torch.testing.assert_close(encoder(clip), clip.mean(dim=2).flatten(1))


def test_the_order_of_frames_cannot_be_read() -> None:
    clip = torch.rand(2, 3, 6, 16, 16)
    encoder = MeanFrame(size=16)
    torch.testing.assert_close(encoder(clip), encoder(clip.flip(2)))


def test_it_has_one_token_and_no_parameters() -> None:
    encoder, clip = MeanFrame(size=32, max_side=4), torch.rand(2, 3, 6, 32, 32)
    assert not list(encoder.parameters()) and encoder.layers() == []
    assert torch.equal(encoder.tokens(clip)[:, 0], encoder(clip))
    assert encoder.feature_map(clip).shape == (2, 48, 1, 1, 1)
    with pytest.raises(ValueError, match="single token"):
        encoder.tokens(clip, torch.zeros(2, 1, dtype=torch.int64))
