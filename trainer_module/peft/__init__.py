"""Parameter-efficient fine-tuning: adapters of low rank, what they are put on, and the file that holds them."""
