"""The main job on real input, run as a user would: tickets, fine-tuning, the service, and what it finds."""
