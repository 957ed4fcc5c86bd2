"""The frozen trunk runs once: where the network can be cut, whether that pays, and training on what was kept."""
