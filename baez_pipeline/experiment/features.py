"""The tables `source`, `sample` and `split`: which features, and which of their examples."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from baez_pipeline.experiment.settings import Settings

NEURONPEDIA_API = "https://www.neuronpedia.org/api"
PackedDocuments = Annotated[
    Literal["cut", "keep"],
    Field(
        description="contexts that hold several documents (several <bos>): cut to the one of the peak, or kept whole. "
        "Nearly half of the strongest contexts of a Gemma source are packed (field guide, trap 3)"
    ),
]


class LocalSaeSource(Settings):
    """Features of an SAE whose rows lie on this machine; `embedded` is the one that the package ships."""

    kind: Literal["local_sae"] = "local_sae"
    path: Path | None = Field(None, description="folder of the rows; None = the one that the package ships")
    layers: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        None,
        min_length=2,
        description="several blocks, whose features are drawn as if of one SAE; the folder is then one of several "
        "layers (embedded/data/layers). None = the one block of the folder",
    )


class NeuronpediaApiSource(Settings):
    """Features of a Neuronpedia source, asked for one by one; every response is kept."""

    kind: Literal["neuronpedia_api"] = "neuronpedia_api"
    model: str = Field(description="Neuronpedia's id of the subject model")
    source: str = Field(description="Neuronpedia's id of the source, the layer first")
    width: int = Field(ge=1, description="number of features, dead ones included: indices run to width - 1")
    base_url: str = NEURONPEDIA_API
    key_variable: str = Field(
        "NEURONPEDIA_API_KEY", description="environment variable of the key; reading features works without one"
    )
    packed_documents: PackedDocuments = "cut"


class NeuronpediaExportSource(Settings):
    """Features of a Neuronpedia source from its bulk export."""

    kind: Literal["neuronpedia_export"] = "neuronpedia_export"
    url: str = Field(description="folder or fsspec URL that holds features/ and activations/: .../v1/<model>/<source>")
    anonymous: bool = Field(False, description="read an object store without credentials")
    packed_documents: PackedDocuments = "cut"


Source = Annotated[LocalSaeSource | NeuronpediaApiSource | NeuronpediaExportSource, Field(discriminator="kind")]


class Sample(Settings):
    """Which features are labelled."""

    features: int = Field(
        12, ge=2, description="features to keep; at least two, as each is also scored with another's label"
    )
    minimum_examples: int = Field(
        15, ge=2, description="distinct examples with a positive peak that a kept feature has"
    )
    donors: int = Field(60, ge=2, description="features drawn apart to lend negatives, whatever `features` is")


class Negatives(Settings):
    """Examples in which the feature is silent, by kind; scores are reported for each kind apart, too."""

    random: int = Field(
        4,
        ge=0,
        description="a random place of a random context: one of the feature's own silent contexts where its "
        "record holds such, a donor's otherwise",
    )
    hard: int = Field(3, ge=0, description="the silent contexts most like the feature's own examples in their words")
    other_peak: int = Field(3, ge=0, description="donors' examples, shown around the donor's peak")
    verified_silent: bool = Field(
        True, description="leave out contexts in which the source says that the feature is active; audit row 9"
    )

    @property
    def total(self) -> int:
        """Negatives of a feature, of all kinds."""
        return self.random + self.hard + self.other_peak


class Split(Settings):
    """Which examples are used for what."""

    train: int = Field(5, ge=1, description="examples shown to label methods")
    test: int = Field(10, ge=1, description="other examples, shown to judges")
    design: Literal["top", "quantiles", "importance"] = Field(
        "top",
        description="which examples are taken: the strongest for train and the ranks after them for test; as many from "
        "each quantile of the peak activation; or drawn by it. Audit rows 7, 8",
    )
    documents: Literal["disjoint", "shared"] = Field(
        "disjoint", description="whether train and test may hold examples of one document; audit row 5"
    )
    negatives: Negatives = Negatives()
    window: Annotated[int, Field(ge=4)] | Literal["whole"] = Field(
        32, description="tokens shown around the peak, three quarters of them before it; whole contexts: audit row 10"
    )
    peak: Literal["qualifying_token", "maximum"] = Field(
        "qualifying_token",
        description="the peak of an example drawn from an activation bin: the token that put it there, or the largest",
    )
