"""The library: process reward models, read exactly as their authors read them."""
