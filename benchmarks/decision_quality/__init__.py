"""How good are the decisions: accuracy against cost on recorded answers of real models, through the product's own domain code."""
