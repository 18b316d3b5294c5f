"""What DenseMTL's experiments wait for; their recipes come with the models and losses."""

MISSING = "DenseMTL's models and losses are not implemented yet"
