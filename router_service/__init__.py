"""Which models should answer a request, in which order, and why."""
