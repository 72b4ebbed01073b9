"""Models that read and do not write: sequence classifiers and masked language models."""
