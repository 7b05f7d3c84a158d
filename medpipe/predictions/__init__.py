"""The file formats between model and metric: what a run writes, and what any other tool may write or read."""
