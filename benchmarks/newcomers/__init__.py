"""How well a model is known after a few labelled answers: every recorded model in turn is treated as one that training never saw."""
