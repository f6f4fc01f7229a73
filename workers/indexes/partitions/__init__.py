"""Indexes that are larger than one worker's memory: each worker keeps ranges of rows hot, and passes go over all."""
