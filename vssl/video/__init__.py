"""From a list of videos to augmented clips: decode, sample in time, crop, draw, augment, digest."""
