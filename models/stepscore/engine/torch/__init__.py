"""The engine of this project: packed segments over a prefix tree, in PyTorch."""
