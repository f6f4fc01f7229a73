"""Conversations: their text by a chat template, and which characters of it carry loss."""
