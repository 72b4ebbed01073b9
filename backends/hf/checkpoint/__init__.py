"""From a folder, file or hub name to configuration, tokenizer and weights."""
