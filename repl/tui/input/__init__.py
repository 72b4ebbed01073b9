"""What is typed: the prompt with readline's keys, history, pastes and completions."""
