"""How far text inside a candidate can talk a judge into a verdict."""
