"""The `emafusion` command line."""
