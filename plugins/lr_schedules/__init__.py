"""Learning-rate schedules, one small file each."""
