"""Which node runs which pod: a numpy snapshot, filters that explain themselves, scores, and batches of equal pods."""
