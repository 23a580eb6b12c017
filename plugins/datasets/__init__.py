"""Datasets, one small file each."""
