"""Search guided by step rewards: many problems in flight over one policy and one PRM."""
