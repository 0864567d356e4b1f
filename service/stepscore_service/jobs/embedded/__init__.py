"""How the checkpoint that ships with the project is made and measured."""
