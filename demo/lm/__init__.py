"""`make demo-lm`: a real small language model, and which rows taught it what it writes."""
