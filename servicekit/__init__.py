"""Cross-cutting runtime of the services: configuration, logs, telemetry, errors, interceptors, server bootstrap."""
