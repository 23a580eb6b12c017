"""Augmentations, one small file each."""
