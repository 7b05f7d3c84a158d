"""From results.json and the files of a run to a page that a person reads."""
