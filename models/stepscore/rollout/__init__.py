"""Many rollouts in flight over one generator."""
