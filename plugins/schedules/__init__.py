"""Schedules, one small file each."""
