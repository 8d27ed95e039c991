"""How long the router's encoder takes, by text length, threads and company on the machine."""
