"""Which drafter a model gets, by its ``options``."""

from backends.hf import selftest
from backends.hf.lookup import Lookup
from backends.hf.model import Model
from backends.hf.network import Options
from backends.hf.speculation import Drafts


def attach(model: Model, options: Options) -> list[str]:
    """Give ``model`` what its options ask for; notes that say what that is."""
    most = options.lookup
    if most is None:
        return []
    # A row that was cut back must be as if it had never been longer.
    if not (model.divisible and selftest.rewinds(model.network, model.rows)):
        return ["lookup has no effect: what this kind of model has read cannot be taken back"]
    model.drafts = lambda: Drafts(Lookup(), most)
    return [f"prompt lookup: guesses up to {most} tokens for a stream that runs alone"]
