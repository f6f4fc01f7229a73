"""Telling webhooks what happened."""
