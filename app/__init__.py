"""The HTTP side. Never imports torch or workers."""
