"""What the product knows: data, encoder, gate, experts, packing, ranking, training, evaluation."""
