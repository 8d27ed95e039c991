"""Compound requests: splitting them, answering the parts side by side, joining the answers."""
