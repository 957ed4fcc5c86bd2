"""What of earlier runs goes: looked up (`facts`), decided (`plan`) and done (`remove`)."""
