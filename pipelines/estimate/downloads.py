"""What a preset downloads."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.config import PipelineConfig
from tokenization.packages.sizes import MEGABYTES
from tokenization.packages.table import PACKAGES


@dataclass(frozen=True)
class Downloads:
    """Packages and their size in 10^6 bytes, as registries publish it, and data sets of the hub, whose size only the
    hub knows."""

    packages: int
    megabytes: float
    data_sets: int

    def __str__(self) -> str:
        parts = [f"{self.packages} packages, {self.megabytes:,.0f} MB"] if self.packages else []
        parts += [f"{self.data_sets} data sets of the hub, whose size only the hub knows"] if self.data_sets else []
        return "; ".join(parts) or "nothing"


def downloads(config: PipelineConfig) -> Downloads:
    """Count what the sources of a configuration fetch. Files on this machine are none, and a data set of weight
    0 is not read."""
    sections = (config.interactions, config.conversations, config.episodes, config.preferences)
    texts = config.corpus.sources if config.corpus else ()
    told = [source for section in sections if section for source in section.sources if source.is_used]
    files = {PACKAGES[source.name].package for source in texts if source.kind == "package"}
    hub = {(source.path, source.subset) for source in (*texts, *told) if source.kind == "hub"}
    return Downloads(len(files), sum(MEGABYTES[name] for name in files), len(hub))
