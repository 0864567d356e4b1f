"""What every offline run needs: journal, manifest, lock, progress, console."""
