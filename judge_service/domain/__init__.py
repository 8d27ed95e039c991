"""The domain: plain Python, no transport, no runtime."""
