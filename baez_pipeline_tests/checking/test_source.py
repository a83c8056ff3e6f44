"""The source: readable, and of the layer, site and width that the experiment says."""

import pytest

from baez_pipeline_tests.checking.conftest import found, those
from baez_pipeline_tests.neuronpedia_server import write_export
from baez_pipeline_tests.tiny_sae import write_tiny_sae


def test_an_unknown_source_fails(equipment_with):
    findings = found(equipment_with(source={"source": "41-gemmascope-9"}))
    assert those(findings, "failed") == {"source's features"}
    assert "has none of the first 20 features" in findings["source's features"].detail


def test_a_source_of_another_layer_fails(world, equipment_with):
    world.neuronpedia.source = "16-gemmascope-2-res-262k"
    findings = found(equipment_with(source={"source": "16-gemmascope-2-res-262k"}))
    assert those(findings, "failed") == {"source's layer", "source's hook"}
    assert "set nla.layer to 16" in findings["source's layer"].detail


@pytest.mark.parametrize(
    ("hook", "outcome"),
    [
        ("model.layers.41", "ok"),
        ("blocks.42.hook_resid_pre", "ok"),
        ("blocks.41.hook_resid_pre", "failed"),
        ("blocks.41.hook_mlp_out", "failed"),
        ("blocks.40.hook_resid_post", "failed"),
        ("the residual stream", "unknown"),
        (None, "unknown"),
    ],
)
def test_the_hook_must_be_the_residual_stream_after_the_layer(world, equipment_with, hook, outcome):
    whole = world.neuronpedia.body
    world.neuronpedia.body = lambda index: (body := whole(index)) and {**body, "hookName": hook}
    assert found(equipment_with())["source's hook"].outcome == outcome


@pytest.mark.parametrize(("width", "outcome"), [(200, "ok"), (150, "failed"), (260, "unknown")])
def test_a_width_that_is_too_small_fails(equipment_with, width, outcome):
    assert found(equipment_with(source={"width": width}))["source's width"].outcome == outcome


def test_contexts_without_a_bos_are_told(world, equipment_with):
    whole = world.neuronpedia.body

    def without_bos(index):
        body = whole(index)
        rows = body["activations"] if body else []
        for row in rows:
            row["tokens"] = ["" if token == "<bos>" else token for token in row["tokens"]]
        return body

    world.neuronpedia.body = without_bos
    findings = found(equipment_with())
    assert "none begins with a BOS" in findings["source's contexts"].detail
    assert not world.nla.bodies[0]["text"].startswith("<bos>")
    assert findings["verbalizer answers"].outcome == "ok"


def test_a_neuronpedia_that_is_not_there_fails_at_source_and_verbalizer(equipment_with):
    gone = {"base_url": "http://127.0.0.1:9/api"}
    findings = found(equipment_with(source=gone, engine=gone))
    assert those(findings, "failed") == {"source's features", "verbalizer answers"}


def test_a_bulk_export_is_read_and_compared(world, equipment_with, tmp_path):
    root = write_export(tmp_path, world.neuronpedia, [list(range(100)), list(range(100, 200))])
    findings = found(equipment_with(source={"kind": "neuronpedia_export", "url": str(root)}))
    assert those(findings, "ok") == set(findings)
    assert findings["source"].detail.endswith("200 features")
    assert world.neuronpedia.requests.total() == 0


def test_a_local_sae_of_another_model_fails_where_its_activations_are_read(equipment_with, tmp_path):
    folder = write_tiny_sae(tmp_path / "sae")
    findings = found(
        equipment_with(source={"kind": "local_sae", "path": str(folder)}, layer=2, engine={"kind": "neighbours"})
    )
    assert those(findings, "failed") == {"subject model", "neighbour bank"}
