"""A paper's comparisons run again: what is compared, the runs, and the tables beside the published numbers."""
