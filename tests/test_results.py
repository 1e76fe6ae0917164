import pytest

from clip_mamba.results import Result


def make(**changes):
    fields = {
        "kind": "zeroshot",
        "scale": "demo",
        "model": "ViT-Test",
        "image_parameters": 10,
        "text_parameters": 20,
        "seed": 0,
        "task": "mnist",
        "split": "test",
        "examples": 5,
        "metric": "top1",
        "value": 0.4,
        "interval": (0.1, 0.7),
        "data_sha256": "0" * 64,
        "seconds": 1.5,
    }
    return Result(**{**fields, **changes})


def test_a_result_survives_writing_and_reading(tmp_path):
    result = make(details={"levels": [{"level": "1", "accuracy": 0.5}]})
    result.write(tmp_path / "r.json")
    assert Result.read(tmp_path / "r.json") == result


def test_a_foreign_file_is_refused_by_name(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(make().model_dump_json().replace('"seed"', '"sead"'))
    with pytest.raises(ValueError, match=r"r\.json is not a result"):
        Result.read(path)


def test_versions_and_machine_are_recorded():
    assert {"python", "torch", "open_clip_torch"} <= set(make().versions)
    assert "core" in make().machine and "\n" not in make().machine


def test_what_is_not_a_number_is_refused_where_it_is_made():
    for wrong in ({"value": float("nan")}, {"interval": (0.1, float("nan"))}):
        with pytest.raises(ValueError, match="finite"):
            make(**wrong)
