"""APGR and CPT of routing between two models, by RouteLLM's protocol: ``python -m benchmarks.routellm --data DIR``."""
