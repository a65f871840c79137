"""Pocketsphinx with its American English model, for any sequence of the words that are said in the tests.

A closed vocabulary in which all words are equally likely (unigrams): the order of words helps it nothing, so
what it hears is all it goes by, and it is neither hopeless in noise nor perfect without.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .measures import RATE, Sound

# Of a new word, in place of 0.65: with all sequences equally likely it would hear too many short ones.
_INSERTION = 0.01


def _unigrams(words: list[str]) -> str:
    """A language model in the format of ARPA."""
    chance = math.log10(1 / (len(words) + 1))
    lines = [f"{chance:.4f} {word}" for word in ["</s>", *words]]
    return f"\\data\\\nngram 1={len(lines) + 1}\n\n\\1-grams:\n-99 <s>\n" + "\n".join(lines) + "\n\n\\end\\\n"


class Recogniser:
    def __init__(self, sentences: Iterable[str]):
        from pocketsphinx import Decoder, get_model_path

        words = sorted({word for sentence in sentences for word in sentence.split()})
        with tempfile.TemporaryDirectory(prefix="lunette-quality-") as folder:
            model, dictionary = Path(folder, "words.lm"), Path(folder, "words.dict")
            model.write_text(_unigrams(words))
            known = Path(get_model_path("en-us/cmudict-en-us.dict")).read_text().splitlines()
            dictionary.write_text("".join(f"{x}\n" for x in known if x.split()[0].split("(")[0] in words))
            # Batch: the mean of the cepstrum is that of the utterance, whatever was heard before.
            self._decoder = Decoder(
                samprate=RATE,
                lm=str(model),
                dict=str(dictionary),
                wip=_INSERTION,
                cmn="batch",
                loglevel="FATAL",
            )

    def words(self, sound: Sound) -> str:
        """What it hears."""
        samples = np.clip(np.round(sound), -32768, 32767).astype("<i2")
        self._decoder.start_utt()
        self._decoder.process_raw(samples.tobytes(), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return str(found.hypstr) if found else ""
