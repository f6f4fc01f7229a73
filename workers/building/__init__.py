"""Building an index: plan, shards, finish."""
