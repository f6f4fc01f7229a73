"""Which labels look wrong: signals, suspicion, summaries and selections over columns of rows. numpy only."""
