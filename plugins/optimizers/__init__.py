"""Optimizers, one small file each."""
