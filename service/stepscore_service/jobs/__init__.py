"""Offline jobs: they share the families and the engines of the service."""
