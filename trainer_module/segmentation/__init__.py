"""Which class each pixel is of: the network's head, and what it is trained by."""
