"""Updates of an implicit PRM while a policy trains against it."""
