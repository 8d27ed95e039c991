"""Answers a request with the cheapest model that can be shown to answer it well."""
