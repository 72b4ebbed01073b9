"""The models the package brings along, so that a first session needs no download, no network and no GPU.

This module says what there is and where it lies; it imports nothing heavy. How each model was made is in
`README.md` beside it: `python -m repl.demo.train` builds them again, `python -m repl.demo.evaluate` measures
them.
"""

from pathlib import Path

MODELS: dict[str, str] = {
    "lm-early": "Hugging Face causal LM on Python's documentation, early in its training",
    "lm-late": "the same run as lm-early, at its end",
    "num2digits": "fairseq translation model: English number words to digits",
    "numlm": "fairseq language model: number words, 'is', and their digits",
    "numcloze": "Hugging Face masked LM on the lines of numlm: fills their gaps",
    "numkind": "Hugging Face classifier: how large a spelled number is, or that it is none",
}


def model_path(name: str) -> Path:
    """The folder of the embedded model `name`; a KeyError lists the names there are."""
    if name not in MODELS:
        raise KeyError(f"no demo model is called {name!r}; there are {', '.join(MODELS)}")
    return Path(__file__).parent / "models" / name
