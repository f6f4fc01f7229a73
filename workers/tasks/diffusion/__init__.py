"""Diffusion models: what a UNet reads of a row, the noise that all rows share, its loss, and images made by it."""
