"""The command line: one module per command; each imports what it needs inside its function."""
