"""Backbones, one small file each."""
