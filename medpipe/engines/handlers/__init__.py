"""Small classes that attach to an engine's events."""
