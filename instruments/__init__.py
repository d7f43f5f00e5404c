"""What benchmarks and tests stand on: a fault server, stores by formula, kill harnesses, an S3."""
