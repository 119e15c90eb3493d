"""Links: a Python process joins a host."""
