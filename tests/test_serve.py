"""The local page: what it answers, and whom it refuses."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bloodtune.adaptation.learning import Learning
from bloodtune.data.photographs import SUFFIXES
from bloodtune.inference.corrections import Corrections
from bloodtune.inference.differential import Prediction, Tally
from bloodtune.inference.predictor import Predictor
from bloodtune.serve import UPLOAD_BYTES, create_app, main
from field_fixtures import usual_field
from learning_fixtures import stand_in, wait_for
from model_fixtures import BLOOD, draw_tiles, make_model, photograph
from photograph_fixtures import bomb

OWN = {"X-Bloodtune": "1"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    predictor = Predictor.load(make_model(tmp_path_factory.mktemp("models") / "best"))
    return create_app(predictor).test_client()


def upload(client: Any, *files: tuple[io.BytesIO, str], **fields: str) -> Any:
    return client.post("/predict", data={"files": list(files), **fields}, headers=OWN)


def test_the_page_loads_nothing_from_elsewhere(client: Any) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "http" not in answer.text
    assert all(name in answer.text for name in BLOOD)
    assert "Trained on bloodmnist: for another stain" in answer.text


def test_photographs_are_predicted_and_what_is_none_is_said(client: Any, tmp_path: Path) -> None:
    photo = io.BytesIO(photograph(tmp_path / "a.jpg").read_bytes())
    answer = upload(client, (photo, "a.jpg"), (io.BytesIO(b"hello"), "<b>.jpg"), (bomb(30_000, 30_000), "bomb.png"))
    one, text, large = answer.get_json()
    assert one["class"] in BLOOD and one["file"] == "a.jpg" and one["picture"]
    assert text == {"file": "<b>.jpg", "error": "not a JPEG, PNG, TIFF, BMP, WebP or GIF picture"}
    assert "too large" in large["error"]


def test_another_crop_can_be_asked_for(client: Any, tmp_path: Path) -> None:
    content = photograph(tmp_path / "a.png", size=(500, 400)).read_bytes()
    (one,) = upload(client, (io.BytesIO(content), "a.png")).get_json()
    assert "500 x 400 pixels" in one["error"]
    (one,) = upload(client, (io.BytesIO(content), "a.png"), crop="300").get_json()
    assert one["class"] in BLOOD
    for crop in ("-3", "1e3", "20.5", "0"):
        assert upload(client, (io.BytesIO(content), "a.png"), crop=crop).status_code == 400


def test_cells_are_found_in_a_field_of_view(client: Any) -> None:
    field = io.BytesIO()
    usual_field().picture().save(field, "PNG")
    photo = io.BytesIO(b"hello")
    cell, count, text = upload(client, (io.BytesIO(field.getvalue()), "a.png"), (photo, "b.png"), find="1").get_json()
    assert cell["class"] in BLOOD and cell["field"] == "a.png" and len(cell["box"]) == 4
    assert (count["file"], count["cells"], count["cut"]) == ("a.png", 1, 0)
    assert base64.b64decode(count["picture"]).startswith(b"\xff\xd8")
    assert text == {"file": "b.png", "error": "not a JPEG, PNG, TIFF, BMP, WebP or GIF picture"}


def test_the_scale_of_fields_can_be_given_and_a_bad_one_is_refused_in_one_line(client: Any) -> None:
    field = io.BytesIO()
    usual_field().picture().save(field, "PNG")
    _, count = upload(client, (io.BytesIO(field.getvalue()), "a.png"), find="1", microns=" 0.1 ").get_json()
    assert (count["microns_per_pixel"], count["scale"]) == (0.1, "given")
    _, measured = upload(client, (io.BytesIO(field.getvalue()), "a.png"), find="1", microns="").get_json()
    assert "red cells" in measured["scale"]
    for bad in ("0", "-0.1", "0,07", "nan", "inf", "wide", "70", "1e-4"):
        answer = upload(client, (io.BytesIO(field.getvalue()), "a.png"), find="1", microns=bad)
        assert answer.status_code == 400
        assert answer.get_json() == {
            "error": f"micrometres per pixel = {bad!r}: allowed are numbers from 0.01 to 1, such as 0.1"
        }


def test_a_manual_count_stands_beside_the_count(client: Any) -> None:
    counts, manual = {"neutrophil": 2, "lymphocyte": 48}, {"neutrophil": 90, "lymphocyte": 10}
    body: dict[str, Any] = {"counts": counts, "unknown": 0, "manual": manual}
    answer = client.post("/count", json=body, headers=OWN).get_json()
    assert answer["compared"][0] == ["90.0", "82.4–95.1", "<0.001", "more than chance"]
    assert answer["compared"][2][2:] == ["1.000", "as chance allows"]
    assert len(answer["compared"]) == len(answer["rows"]) == len(BLOOD)
    assert client.post("/count", json=body | {"manual": {}}, headers=OWN).get_json()["compared"] == []
    for nonsense in ([1], {"neutrophil": -1}, {"neutrophil": 1.5}, {"neutrophil": None}):
        assert client.post("/count", json=body | {"manual": nonsense}, headers=OWN).status_code == 400


def test_the_alarm_of_fields_speaks_of_cells(client: Any) -> None:
    body = {"counts": {"neutrophil": 20}, "unknown": 3, "find": True}
    answer = client.post("/count", json=body, headers=OWN).get_json()
    assert answer["alarm"] == "3 of 20 cells are unlike the training images: do not trust this count."


def test_each_page_is_predicted_and_copies_have_one_digest(client: Any) -> None:
    tiles = list(map(Image.fromarray, draw_tiles(2)))
    stack, copy = io.BytesIO(), io.BytesIO()
    tiles[0].save(stack, "TIFF", save_all=True, append_images=tiles[1:])
    tiles[1].save(copy, "PNG")
    first, second, third = upload(
        client, (io.BytesIO(stack.getvalue()), "a.tif"), (io.BytesIO(copy.getvalue()), "b.png")
    ).get_json()
    assert [one["file"] for one in (first, second, third)] == ["a.tif:page 1", "a.tif:page 2", "b.png"]
    assert first["digest"] != second["digest"] == third["digest"]


def test_the_page_takes_all_suffixes_and_writes_tables_for_excel(client: Any) -> None:
    page = client.get("/").text
    assert "".join(f",{suffix}" for suffix in SUFFIXES)[1:] in page
    assert '"\\ufeff" + rows' in page and "[=+\\-@" in page


def test_a_count_is_that_of_the_command_line(client: Any) -> None:
    counts = {"neutrophil": 60, "lymphocyte": 40}
    answer = client.post("/count", json={"counts": counts, "unknown": 10}, headers=OWN).get_json()
    assert answer["rows"][0] == ["neutrophil", 60, "60.0", "49.7–69.7", "% of leukocytes"]
    assert answer["alarm"] == ""
    for nonsense in (
        [1],
        {"counts": {"neutrophil": -1}, "unknown": 0},
        {"counts": counts, "unknown": "x"},
        {"counts": {"neutrophil": 10**30}, "unknown": 0},
        counts,
    ):
        assert client.post("/count", json=nonsense, headers=OWN).status_code == 400


def test_the_alarm_is_that_of_the_command_line(client: Any) -> None:
    tally = Tally(BLOOD)
    for number in range(20):
        tally.add(Prediction(str(number), "neutrophil", "monocyte", np.zeros(8), sure=False, known=number >= 3))
    answer = client.post("/count", json={"counts": {"neutrophil": 20}, "unknown": 3}, headers=OWN).get_json()
    assert answer["alarm"] == tally.alarm == "3 of 20 images are unlike the training images: do not trust this count."


def test_other_pages_and_other_hosts_are_refused(client: Any) -> None:
    assert client.post("/count", json={}).status_code == 403
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/", headers={"Host": "127.0.0.1:8350"}).status_code == 200
    for host in ("evil.example:8350", "127.0.0.1.evil.example", "[::1]:8350", "0.0.0.0"):
        assert client.post("/count", json={}, headers={"Host": host, **OWN}).status_code == 403


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8350"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8888"}, 403),  # another program on this machine
        ({"Origin": "null"}, 403),
    ],
)
def test_a_post_of_another_page_is_refused(client: Any, headers: dict[str, str], code: int) -> None:
    own = {"Host": "127.0.0.1:8350", **OWN}
    assert (
        client.post("/count", json={"counts": {"monocyte": 1}, "unknown": 0}, headers=own | headers).status_code == code
    )
    assert client.options("/predict", headers=own | headers).headers.get("Access-Control-Allow-Origin") is None


def test_a_request_of_too_many_files_is_refused(client: Any) -> None:
    answer = upload(client, *((io.BytesIO(b"x"), "a.jpg") for _ in range(1001)))
    assert (answer.status_code, answer.get_json()) == (413, {"error": "more than 32 MB or 1,000 files at once"})


def test_an_upload_that_is_too_large_is_refused(client: Any) -> None:
    answer = upload(client, (io.BytesIO(bytes(UPLOAD_BYTES + 1)), "a.bmp"))
    assert (answer.status_code, answer.get_json()) == (413, {"error": "more than 32 MB or 1,000 files at once"})


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.startswith(f"serve: no model in {tmp_path / 'none'}")
    with pytest.raises(SystemExit, match="2"):
        main(["--port", "80"])
    assert "whole numbers from 1024" in capsys.readouterr().err


@pytest.fixture
def learner(tmp_path: Path) -> Any:
    """Give a page that keeps corrections in ``mine`` and learns from them with a stand-in."""
    folder = make_model(tmp_path / "old")
    predictor, corrections = Predictor.load(folder), Corrections(tmp_path / "mine")
    learning = Learning(corrections, folder, predictor, stand_in(tmp_path, ("monocyte", "neutrophil")))
    return create_app(predictor, corrections, learning).test_client()


def tiles(client: Any, count: int) -> Any:
    files = []
    for tile in map(Image.fromarray, draw_tiles(count)):
        stream = io.BytesIO()
        tile.save(stream, "PNG")
        files.append((io.BytesIO(stream.getvalue()), "../../a.png"))
    return upload(client, *files).get_json()


def correct(client: Any, image: dict[str, Any], label: object) -> Any:
    return client.post("/correct", json={"tile": image["tile"], "label": label}, headers=OWN)


def test_a_correction_is_stored_at_once_and_known_afterwards(learner: Any, tmp_path: Path) -> None:
    (image,) = tiles(learner, 1)
    assert image["stored"] is None
    answer = correct(learner, image, "monocyte").get_json()
    assert (answer["stored"], answer["state"]) == (1, "idle")
    assert "learning needs 10 of those" in answer["lacking"]
    names = [f"{image['digest']}.png", "metadata.csv"]
    assert sorted(file.name for file in (tmp_path / "mine").iterdir()) == names
    assert (tmp_path / "mine" / "metadata.csv").read_text() == f"file_name,label\n{names[0]},monocyte\n"
    (again,) = tiles(learner, 1)
    assert again["stored"] == "monocyte"


def test_nonsense_is_no_correction(learner: Any, tmp_path: Path) -> None:
    (image,) = tiles(learner, 1)
    for label in ("dragon", "../x", None, 3, ["monocyte"]):
        assert correct(learner, image, label).status_code == 400
    for tile in ("ä", "aGVsbG8=", "x", 7, None):
        answer = correct(learner, {"tile": tile}, "monocyte")
        assert answer.status_code == 400 and answer.get_json()["error"]
    assert learner.post("/correct", json=[1], headers=OWN).status_code == 400
    assert learner.post("/correct", json={}).status_code == 403
    assert not (tmp_path / "mine").exists()


def test_a_new_model_is_used_when_it_is_accepted(learner: Any, tmp_path: Path) -> None:
    too_early = learner.post("/learning/start", headers=OWN)
    assert too_early.status_code == 400 and "0 pictures stored" in too_early.get_json()["error"]
    for number, image in enumerate(tiles(learner, 20)):
        correct(learner, image, ("monocyte", "neutrophil")[number % 2])
    assert learner.post("/learning/start").status_code == 403
    assert learner.post("/learning/dance", headers=OWN).status_code == 404
    assert learner.post("/learning/start", headers=OWN).get_json()["state"] == "running"
    (tmp_path / "go").touch()
    wait_for(lambda: learner.get("/learning").get_json()["state"] != "running")
    assert learner.get("/learning").get_json()["scores"][0]["accuracy"] == "90.0"
    before = {one["class"] for one in tiles(learner, 20)}
    model = learner.post("/learning/accept", headers=OWN).get_json()
    assert "Trained on mine" in model["caveat"] and model["labels"] == list(BLOOD)
    assert "basophil" in model["unknown"] and "does not know basophil" in learner.get("/").text
    after = {one["class"] for one in tiles(learner, 20)}
    assert after <= {"monocyte", "neutrophil"} and not before <= after
    assert (tmp_path / "old" / "model.json").exists()
    assert learner.post("/learning/accept", headers=OWN).status_code == 400


def test_a_page_without_a_folder_says_that_it_stores_nothing(client: Any) -> None:
    assert "Corrections are not stored" in client.get("/").text
    assert "tile" not in tiles(client, 1)[0]
    assert client.post("/correct", json={}, headers=OWN).status_code == 404


def test_a_folder_of_something_else_takes_no_corrections(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph(tmp_path / "mine" / "a.jpg")
    assert main(["--corrections", str(tmp_path / "mine")]) == 2
    assert capsys.readouterr().err.endswith("allowed: a new or empty folder, or one with metadata.csv\n")
