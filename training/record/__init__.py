"""Asks live models the user's own questions and writes what they answer in the layout that training and benchmarks read."""
