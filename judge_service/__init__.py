"""How likely is it that an answer is right: a panel of judges and its calibrated verdict."""
