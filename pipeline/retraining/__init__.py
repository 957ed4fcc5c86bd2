"""`finetune retrain`: finds out what is new, decides whether to train, records that, and trains where it follows."""
