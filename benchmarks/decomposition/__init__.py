"""What splitting compound requests is worth, on requests composed from recorded questions."""
