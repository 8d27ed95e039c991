"""How soon a provider sees that the caller has left."""
