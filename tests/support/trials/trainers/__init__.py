"""Scripts that let trainers encode conversations, run apart by their own environment."""
