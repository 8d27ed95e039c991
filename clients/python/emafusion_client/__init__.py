"""Typed async client of the three services."""
