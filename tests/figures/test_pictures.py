"""Rows of images: every pixel is there once, crisp and large, with words for those who do not see it."""

import base64
import io

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup, Tag
from PIL import Image

from dfnas import figures
from dfnas.figures import pictures

NAMES = [f"class {k}" for k in range(10)]


def images(count: int, channels: int = 3, side: int = 8) -> torch.Tensor:
    """Noise."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, side, side), generator=generator, dtype=torch.uint8)


def rows(shown: figures.Pictures) -> list[Tag]:
    """The rows, as a page has them."""
    return list(BeautifulSoup(shown._repr_html_(), "html.parser").select(".pictures-row"))


def pixels(image: Tag) -> np.ndarray:
    """What an image of a page holds, uint8 [H, W, C] or [H, W]."""
    head, _, data = str(image["src"]).partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_the_grid_holds_every_pixel_once_under_the_classs_name() -> None:
    given = images(4)
    first, second = rows(figures.image_grid(given, torch.tensor([1, 0, 1, 0]), NAMES, columns=2))
    assert [row.select_one(".pictures-label").text for row in (first, second)] == ["class 0", "class 1"]
    for row, numbers in ((first, (1, 3)), (second, (0, 2))):
        shown = [pixels(image).tolist() for image in row.select("img")]
        assert shown == [given[number].permute(1, 2, 0).tolist() for number in numbers]


def test_images_are_crisp_at_least_64_wide_and_have_words() -> None:
    for image in rows(figures.ablation_strip({"all": images(10), "none": images(4, 1)}, {"all": "x"}))[0].select("img"):
        assert int(str(image["width"])) >= 64
        assert "pixelated" in str(image["style"])
        assert str(image["alt"]).startswith("all: x, ")


def test_sets_stand_beside_each_other_class_by_class() -> None:
    classes = torch.arange(20) % 10
    sets = {"synthetic": (images(20), classes), "real": (images(20), classes.flip(0))}
    shown = rows(figures.beside(sets, NAMES, columns=1))
    assert len(shown) == 10
    assert [name.text for name in shown[3].select(".pictures-name")] == ["synthetic", "real"]
    synthetic, real = map(pixels, shown[3].select("img"))
    assert synthetic.tolist() == images(20)[3].permute(1, 2, 0).tolist()
    assert real.tolist() == images(20)[6].permute(1, 2, 0).tolist()


def test_a_class_that_one_set_lacks_has_no_row() -> None:
    sets = {"synthetic": (images(3), torch.arange(3)), "real": (images(2), torch.arange(2))}
    assert len(rows(figures.beside(sets, NAMES))) == 2


def test_words_stand_below_their_images_and_markup_in_them_is_text() -> None:
    row = figures.Row("a <b>", {"nearest": images(2)}, {"nearest": ["cat", "<i>"]})
    (shown,) = rows(figures.Pictures([row]))
    assert [small.text for small in shown.select("small")] == ["cat", "<i>"]
    assert shown.select("b, i") == []
    with pytest.raises(ValueError, match="shorter"):
        figures.Pictures([figures.Row("a", {"nearest": images(2)}, {"nearest": ["cat"]})])._repr_html_()


def test_large_images_are_shrunk_by_the_mean_over_blocks() -> None:
    image = torch.zeros(1, 3, 128, 128, dtype=torch.uint8)
    image[..., ::2, ::2] = 200
    (shown,) = rows(figures.ablation_strip({"all": image}))[0].select("img")
    assert pixels(shown).shape == (64, 64, 3)
    assert (pixels(shown) == 50).all()


def test_a_thousand_classes_do_not_make_a_thousand_rows() -> None:
    shown = figures.image_grid(images(100), torch.arange(100), [str(k) for k in range(100)], columns=1)
    assert len(rows(shown)) == 10


def test_images_in_another_range_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        figures.image_grid(torch.rand(4, 3, 8, 8), torch.zeros(4), NAMES)


def test_as_text_rows_are_no_more_than_a_word() -> None:
    assert repr(figures.image_grid(images(4), torch.zeros(4), NAMES)) == "<1 rows of images>"


def test_many_large_images_lose_a_little_and_no_colour() -> None:
    generator = np.random.default_rng(0)
    shades = np.linspace(20, 235, 48)
    image = np.stack([np.tile(shades, (48, 1)), np.tile(shades, (48, 1)).T, np.full((48, 48), 128)])
    image[:, ::4] = np.array([200, 40, 90])[:, None, None]  # rows of one colour in between
    image = (image + 8 * generator.normal(size=image.shape)).clip(0, 255).astype(np.uint8)
    assert {each.partition(";")[0] for each in pictures.addresses([image] * 2)} == {"data:image/png"}
    many = pictures.addresses([image] * 60)
    assert sum(map(len, many)) < sum(len(pictures.address(each)) for each in [image] * 60) / 1.5
    (shown,) = rows(figures.ablation_strip({"all": np.stack([image] * 60)}, columns=60))
    assert [img["src"] for img in shown.select("img")] == many
    head, _, data = many[-1].partition(",")
    assert head == "data:image/jpeg;base64"
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int).transpose(2, 0, 1)
    assert np.abs(found - image).mean() < 5
    assert np.abs(found[:, ::4].mean((1, 2)) - [200, 40, 90]).max() < 3
