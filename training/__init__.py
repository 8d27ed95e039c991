"""Offline: from recorded answers to the artifacts that the services load."""
