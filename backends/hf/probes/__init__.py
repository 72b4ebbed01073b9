"""Tasks that look into a text or an answer instead of writing one."""
