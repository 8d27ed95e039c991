"""Server interceptors. `chain.ORDER` says in which order they run, and `chain.build_chain` asserts it."""
