"""Criteria, one small file each."""
