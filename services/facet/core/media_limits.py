"""Limits of media that gateway and worker have to agree on."""

MAX_IMAGE_PIXELS = 40_000_000
"""Width times height of one image: more than common cameras make; 120 MB when decoded."""
