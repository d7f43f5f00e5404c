"""Programs that measure parchunk; every number in the README comes from one of them."""
