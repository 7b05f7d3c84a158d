"""From cases to results, many at once: processes that decode, what to do and in which order, a cluster."""
