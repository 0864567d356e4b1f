"""Numbers from arrays: pure functions, without files, models or plots."""
