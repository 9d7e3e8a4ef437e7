"""Consistency of generated text with reference texts (RS of Meng et al., 2022); needs the extra `eval`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kgedit.errors import MissingExtra


class Consistency:
    """TF-IDF space of all reference snippets of a data set.

    Args:
        snippets: Every attribute snippet, whichever relation or object it is about: they set the weights of words.

    Raises:
        MissingExtra: scikit-learn is not installed.
        ValueError: The snippets hold no word.
    """

    def __init__(self, snippets: Iterable[str]) -> None:
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
        except ImportError as error:
            raise MissingExtra("consistency needs scikit-learn; install it with pip install 'kgedit[eval]'") from error
        self._vectorizer = TfidfVectorizer().fit(list(snippets))

    def score(self, generated: Sequence[str], references: Sequence[str]) -> float:
        """Cosine of all generated texts joined and all references for (relation, o*) joined, in [0, 1].

        0 where one side has no word that the snippets have; published figures are 100 times this.
        """
        vectors = self._vectorizer.transform([" ".join(generated), " ".join(references)])  # (2, words), unit rows
        return float((vectors[0] @ vectors[1].T).sum())
