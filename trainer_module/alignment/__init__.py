"""Pictures and texts that belong together, close to each other in one space: CLIP (Radford et al. 2021)."""
