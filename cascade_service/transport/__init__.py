"""gRPC face: validate, call the domain, map."""
