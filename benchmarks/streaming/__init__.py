"""The delivery modes compared over recorded answers."""
