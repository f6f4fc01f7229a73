"""One task per file: its rows to tokens, its loss, its answers."""
