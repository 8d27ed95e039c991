"""The configuration: one ``emafusion.yaml`` with environment overrides, checked as a whole before anything starts."""
