"""SentencePiece models through the `sentencepiece` package, with guarded special tokens."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import sentencepiece

from operators.tokenizers.guarding import cover, give_ids
from pipeline.errors import ConfigError


class SentencePieceTokenizer:
    """A trained model whose special tokens are ids that text can never become.

    A special token is taken from the model if it is a control symbol there: SentencePiece never produces those from
    text. Any other is appended behind the vocabulary, in the order given, even if a normal or user-defined piece
    has the same letters, because text would produce that one.
    """

    library = "sentencepiece"

    def __init__(self, model: bytes, special: Iterable[str], name: str = "the tokenizer") -> None:
        try:
            self._model: Any = sentencepiece.SentencePieceProcessor()
            self._model.LoadFromSerializedProto(model)  # model_proto= takes an empty file for no file at all
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"{name} is no SentencePiece model; train one with: lodepack tokenizer train JOB.yaml"
            ) from error
        self._base = int(self._model.get_piece_size())
        literals = tuple(special)
        pieces = {literal: int(self._model.piece_to_id(literal)) for literal in literals}
        trusted = {
            literal: piece
            for literal, piece in pieces.items()
            if self._model.id_to_piece(piece) == literal and self._model.is_control(piece)
        }
        self.special_ids: dict[str, int] = give_ids(literals, trusted, self._base)
        self.num_added = len(self.special_ids) - len(trusted)
        self.size = self._base + self.num_added

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text alone; neither start nor end tokens."""
        # Given a list, the package starts threads for it: five times the work of a caption.
        return [list(self._model.encode(text, out_type=int, add_bos=False, add_eos=False)) for text in texts]

    def encode_with_ends(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of one text, and the characters that each and those before it cover (Tokenizer.encode_with_ends)."""
        mapping = self._model.encode(text, out_type="offset_mapping", add_bos=False, add_eos=False)
        ids: list[int] = list(mapping["ids"])
        ends = [end for _, end in mapping["offsets"]]
        # The package gives a character to the last of its bytes alone; here the first one has it already.
        for i in range(len(ids) - 2, -1, -1):
            if self._model.is_byte(ids[i]) and mapping["offsets"][i][0] == ends[i]:
                ends[i] = ends[i + 1]
        return ids, cover(ends, len(text))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, special tokens left out."""
        return str(self._model.decode([i for i in ids if i < self._base and not self._model.is_control(i)]))


def train(
    texts: Iterable[str],
    target: Path,
    *,
    kind: str,
    vocab_size: int,
    control_symbols: Sequence[str],
) -> int:
    """Trains a model on `texts` and writes it to `target`; returns its number of pieces.

    Lossless on any text: no normalisation, no dummy prefix, bytes for characters never seen. One thread, so that
    the same texts give the same file.
    """
    reserved = {"<unk>", "<s>", "</s>", "<pad>"}
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(line for text in texts for line in text.split("\n") if line),
            model_writer=model,
            model_type=kind,
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            character_coverage=0.9995,
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            split_digits=True,
            max_sentence_length=1 << 20,
            num_threads=1,
            pad_id=3,
            control_symbols=[symbol for symbol in control_symbols if symbol not in reserved],
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ConfigError(
            f"cannot train a {kind} model of {vocab_size} pieces: {error}; try another --vocab-size"
        ) from error
    target.write_bytes(model.getvalue())  # only now: a failed training leaves the old model alone
    return int(sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).get_piece_size())
