"""Training: the encoder, then adapters over it, from one recipe; runs that survive interruption."""
