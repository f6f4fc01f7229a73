"""Images of rows: decoded within limits, kept by what they show, opened again."""
