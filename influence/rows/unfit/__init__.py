"""What rows of no kind can hold: cells that may have carried loss, tables whose columns make no row."""
