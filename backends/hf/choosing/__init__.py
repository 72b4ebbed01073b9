"""From logits to tokens: processors, distributions, draws."""
