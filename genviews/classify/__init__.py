"""The user's classifier with its image spec, and a small network to train."""
