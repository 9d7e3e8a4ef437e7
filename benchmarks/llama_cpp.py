"""llama.cpp itself, in this process (package xllamacpp), as the judge of files that are meant for it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class LlamaCpp:
    """A model file with adapters on it, served on the loopback interface."""

    def __init__(self, model: Path, adapters: Sequence[Path] = (), *, context: int = 128) -> None:
        import xllamacpp as library

        params = library.CommonParams()
        params.model.path = str(model)
        params.n_ctx, params.n_parallel, params.warmup, params.fit_params = context, 1, False, False
        params.verbosity, params.cpuparams.n_threads, params.cpuparams_batch.n_threads = -1, 1, 1
        # Keys and values in full precision: what is compared are the weights.
        params.cache_type_k = params.cache_type_v = library.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = library.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        loaded = []
        for path in adapters:
            info = library.CommonAdapterLoraInfo()
            info.path, info.scale = str(path), 0.0
            loaded.append(info)
        params.lora_adapters = loaded
        params.lora_init_without_apply = True
        self._server = library.Server(params)

    def scales(self, *scales: float) -> None:
        """How strongly each adapter acts, in the order given: 0 is off, 1 is on."""
        self._post("/lora-adapters", [{"id": i, "scale": scale} for i, scale in enumerate(scales)])

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, with what the model puts before it."""
        return list(self._post("/tokenize", {"content": text, "add_special": True, "parse_special": True})["tokens"])

    def greedy(self, prompt: str | Sequence[int], tokens: int) -> str:
        """Greedy continuation."""
        return str(self._complete(prompt, tokens)["content"])

    def greedy_ids(self, prompt: Sequence[int], tokens: int) -> list[int]:
        """Token ids of the greedy continuation, the end token not among them."""
        return list(self._complete(prompt, tokens, return_tokens=True)["tokens"])

    def logprobs(self, prompt: Sequence[int], vocabulary: int) -> dict[int, float]:
        """Token id -> log-probability of being next, over the whole vocabulary."""
        # An end token or half a character would come without probabilities; the bias acts on what is drawn only.
        answer = self._complete(prompt, 1, n_probs=vocabulary, logit_bias=[[prompt[-1], 1000.0]])
        return {row["id"]: row["logprob"] for row in answer["completion_probabilities"][0]["top_logprobs"]}

    def _complete(self, prompt: str | Sequence[int], tokens: int, **more: Any) -> Any:
        asked = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "cache_prompt": False, **more}
        return self._post("/completion", asked)

    def _post(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            self._server.listening_address + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())
