"""Pure functions over steps and readings: surprisal, divergence, alignment, and figures that show them."""
