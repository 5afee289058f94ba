"""Inference from influence values: solving, variances, bootstrap, bands, tests, sensitivity."""
