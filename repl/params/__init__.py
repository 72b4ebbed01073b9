"""One parameter vocabulary, and what each backend makes of it.

Front ends and configuration speak these names only. A backend declares how it supports each one
(``Support``); a value that it cannot honour is an error or a visible mark, never silently dropped.
"""

from repl.params.checking import TEXTS, ParamError, bias, changed, check, parameter, parse, resolve, token_id
from repl.params.support import BY_COORDINATOR, Support, SupportTable, honoured, unsupported
from repl.params.vocabulary import PARAMETERS, Parameter, Params, Value

__all__ = [
    "BY_COORDINATOR",
    "PARAMETERS",
    "TEXTS",
    "ParamError",
    "Parameter",
    "Params",
    "Support",
    "SupportTable",
    "Value",
    "bias",
    "changed",
    "check",
    "honoured",
    "parameter",
    "parse",
    "resolve",
    "token_id",
    "unsupported",
]
