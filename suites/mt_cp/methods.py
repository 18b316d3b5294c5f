"""What MT-CP's experiments wait for; their recipes come with the backbone and the modules."""

MISSING = "MT-CP's backbone, modules and loss schemes are not implemented yet"
