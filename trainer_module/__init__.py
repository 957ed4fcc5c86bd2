"""The Trainer: freeze the backbone, train the head, unfreeze, fine-tune, export."""
