"""One model on one server: what it can do, and how it reads a text."""

from collections.abc import Sequence
from typing import Any

from backends.base import BackendError
from backends.hf.pieces import byte_alphabet, from_byte_alphabet
from backends.server import wire
from backends.server.client import Client
from backends.server.kinds import Kind
from backends.server.tokens import Vocabulary
from repl.messages import Message

Read = tuple[list[int], list[bytes]]
"""Tokens and the bytes of each; empty where the server does not tell them."""

_SAMPLE = "naïve text\n"
"""Tells in which alphabet a server writes its tokens."""


class Served:
    """What is asked of a server by name of a model."""

    def __init__(self, client: Client, kind: Kind, model: str, template: str | None) -> None:
        self.client, self.kind, self.model, self.template = client, kind, model, template
        self.vocabulary = Vocabulary()
        self.tokenizes = False
        """It tells how it tokenizes, and takes prompts as tokens."""
        self.chat = False
        """It has a chat template."""
        self._byte_level = False

    async def look(self, chat: bool | None) -> None:
        """Find out what it can do; ``chat`` is what the configuration says."""
        if self.kind.tokenizer:
            try:
                _, pieces = await self.tokenize(_SAMPLE, special=False)
                self._byte_level = bool(pieces) and b"".join(pieces) != _SAMPLE.encode()
                self.tokenizes = True
            except BackendError as refused:
                if refused.error.kind in ("unreachable", "unauthorised"):
                    raise
        self.chat = await self._has_template() if chat is None and self.tokenizes else chat is not False

    async def _has_template(self) -> bool:
        try:
            await self.conversation([Message(role="user", text="hello")])
        except BackendError as refused:
            if refused.error.kind in ("unreachable", "unauthorised"):
                raise
            return False
        return True

    async def tokenize(self, text: str, *, special: bool) -> Read:
        """With the tokens that the model puts before a text, or without."""
        if self.kind.name == "llamacpp":
            body = {"content": text, "add_special": special, "with_pieces": True}
        else:
            body = {"model": self.model, "prompt": text, "add_special_tokens": special}
            body["return_token_strs"] = True
        return await self._tokens(body)

    async def conversation(self, turns: Sequence[Message]) -> Read:
        """Turns by the model's own template, up to where the answer begins."""
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        if self.kind.name == "llamacpp":
            asked = {"messages": messages}
            rendered = await self.client.post_beside("/apply-template", asked, wire.Rendered)
            return await self.tokenize(rendered.prompt, special=True)
        body: dict[str, Any] = {"model": self.model, "messages": messages, "return_token_strs": True}
        return await self._tokens(body | {"add_generation_prompt": True})

    async def _tokens(self, body: dict[str, Any]) -> Read:
        told = await self.client.post_beside("/tokenize", body, wire.Tokens)
        ids, pieces = [], []
        for token in told.tokens:
            if isinstance(token, wire.Piece):
                ids.append(token.id)
                pieces.append(token.piece.encode() if isinstance(token.piece, str) else bytes(token.piece))
            else:
                ids.append(token)
        if told.token_strs is not None and len(told.token_strs) == len(ids):
            pieces = [self._bytes(text) for text in told.token_strs]
        self.vocabulary.learn(zip(ids, pieces, strict=False))
        return ids, pieces

    def _bytes(self, text: str) -> bytes:
        """Of a token as the checkpoint's vocabulary writes it: GPT-2's alphabet, or SentencePiece's."""
        if self._byte_level and all(char in byte_alphabet() for char in text):
            return from_byte_alphabet(text)
        if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
            try:
                return bytes([int(text[3:5], 16)])
            except ValueError:
                pass
        return text.replace("▁", " ").encode("utf-8", "replace")

    async def text(self, ids: Sequence[int]) -> str:
        """What tokens write."""
        body: dict[str, Any] = {"tokens": list(ids)}
        if self.kind.name != "llamacpp":
            body["model"] = self.model
        told = await self.client.post_beside("/detokenize", body, wire.Detokenized)
        return told.prompt or told.content or ""
