"""Zips of images: which file is a picture, and what says what it shows."""
