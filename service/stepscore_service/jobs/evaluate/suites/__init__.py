"""What is measured: each suite says what a row asks the model, what is kept of the answer, and what follows from it."""
