"""`make demo-images`: an image model trained here on drawn letters, and which of its images taught it a style."""
