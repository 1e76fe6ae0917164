import pytest
from PIL import Image

from clip_mamba.data.ood_folder import pack_ood_folder
from clip_mamba.stimuli import read_stimuli


@pytest.fixture
def folder(tmp_path):
    for number, place in enumerate(["light/cat", "light/dog", "heavy/cat", "heavy/dog"]):
        (tmp_path / "rain" / place).mkdir(parents=True)
        for name in ("a", "b.1"):
            picture = Image.new("RGB", (12, 12), (number * 40, 0, 0))
            picture.save(tmp_path / "rain" / place / f"{name}.png")
    return tmp_path / "rain"


def test_levels_and_categories_are_the_folders(folder, tmp_path):
    assert pack_ood_folder(folder, "rain", ["light", "heavy"], tmp_path / "rain.tar") == 8
    stimuli = read_stimuli(tmp_path / "rain.tar")
    assert [s.level for s in stimuli] == ["light"] * 4 + ["heavy"] * 4
    assert [s.category for s in stimuli[:4]] == ["cat", "cat", "dog", "dog"]
    # One picture at two levels is one object to the bootstrap and to paired comparisons.
    assert {s.base for s in stimuli[:4]} == {s.base for s in stimuli[4:]}
    assert stimuli[-1].image.getpixel((0, 0)) == (120, 0, 0)


def test_what_is_no_level_or_category_is_named(folder, tmp_path):
    with pytest.raises(ValueError, match="none: there is no picture"):
        pack_ood_folder(folder, "rain", ["none"], tmp_path / "rain.tar")
    (folder / "heavy/cow").mkdir()
    with pytest.raises(ValueError, match="'cow' is no category.*airplane"):
        pack_ood_folder(folder, "rain", ["heavy"], tmp_path / "rain.tar")
    assert not (tmp_path / "rain.tar").exists()
