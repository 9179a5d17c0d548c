"""Foreign nets made into Models: plain modules, diffusers folders, folders with a card."""
