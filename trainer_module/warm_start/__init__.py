"""Training that goes on from the champion: what is left for it, how it begins, and how long it takes."""
