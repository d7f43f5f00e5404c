"""Formula stores: Zarr stores of any size whose keys are computed, never held."""
