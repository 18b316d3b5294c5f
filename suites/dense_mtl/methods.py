"""What DenseMTL's experiments wait for; their recipes come with the models and losses."""

MISSING = "DenseMTL's models, losses and datasets are not implemented yet"
