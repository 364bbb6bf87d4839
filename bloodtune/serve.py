"""The command `serve`: a local web page to drop photographs, see the count and correct it.

Flask, waitress and torch are imported inside functions, so that `--help` and errors in flags appear at once.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import logging
import secrets
import signal
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloodtune import command_line as flags
from bloodtune.command_line import leave, print_lines, run_action
from bloodtune.data.photographs import suffixes
from bloodtune.errors import InputError, one_line
from bloodtune.inference.corrections import Corrections, file_of, lacking
from bloodtune.inference.differential import FieldCount, Result, Tally, Unreadable
from bloodtune.inference.manual_count import DIFFERS, METHOD, compare_counts
from bloodtune.inference.templates import png_text, render
from bloodtune.inference.writers import FIELD_PREVIEW, FOR_RESEARCH, as_mapping, with_picture
from bloodtune.predict import MODEL_HELP, choose_model, load_predictor

if TYPE_CHECKING:
    from flask import Flask

    from bloodtune.adaptation.learning import Learning
    from bloodtune.inference.predictor import Predictor

HOST, PORT = "127.0.0.1", 8350
UPLOAD_BYTES, UPLOAD_FILES = 32 * 2**20, 1000  # per request; the page splits photographs over several requests

_PREVIEW = 128  # pixels


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until Ctrl-C.

    Returns:
        0 on success, 2 for unusable input.
    """
    arguments = _parser().parse_args(argv)
    return run_action("serve", lambda: _serve(arguments))


@dataclass
class _Session:
    """State of the page: the model in use, and the classes that a person may choose.

    ``crop`` is that of the first model's training images: an adapted model learned from cut pictures.
    """

    predictor: Predictor
    labels: tuple[str, ...]
    crop: int | None
    corrections: Corrections | None
    learning: Learning | None

    def model(self) -> dict[str, Any]:
        """Return what the page says of the model in use."""
        predictor = self.predictor
        unknown = [name for name in self.labels if name not in predictor.class_names]
        named = {"name": str(predictor.card.get("label", "without a name")), "caveat": predictor.caveat}
        return {**named, "threshold": predictor.threshold, "labels": self.labels, "unknown": unknown}

    def use(self, predictor: Predictor) -> dict[str, Any]:
        """Replace the model; return what the page says of it."""
        self.predictor, self.labels = predictor, tuple(dict.fromkeys((*self.labels, *predictor.class_names)))
        return self.model()

    def answers(self, results: Iterable[Result]) -> list[dict[str, Any]]:
        """Return fields, pictures with their class, and files that could not be read, as JSON objects."""
        stored = self.corrections.labels() if self.corrections else {}
        return [self._answer(result, stored) for result in results]

    def _answer(self, result: Result, stored: Mapping[str, str]) -> dict[str, Any]:
        if isinstance(result, FieldCount):
            return result.as_mapping() | {"picture": base64.b64encode(result.preview).decode()}
        if isinstance(result, Unreadable):
            return as_mapping(result, self.predictor.class_names)
        shown = with_picture(result, self.predictor.class_names)
        if self.corrections is None or result.tile is None:
            return shown
        return shown | {"tile": png_text(result.tile), "stored": stored.get(file_of(result.digest))}


def _serve(arguments: argparse.Namespace) -> int:
    corrections = None if arguments.corrections is None else Corrections(Path(arguments.corrections))
    model = choose_model(arguments.model, "serve")
    predictor, learning = load_predictor(model, arguments.threshold, "serve"), None
    if corrections:
        from bloodtune.adaptation.learning import Learning

        learning = Learning(corrections, model, predictor)
    server = _bind(create_app(predictor, corrections, learning), arguments.port)
    print_lines(f"serve: open http://{HOST}:{arguments.port} on this machine; Ctrl-C stops the server")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, so that no adaptation outlives the server
    try:
        server.run()
    finally:
        if learning:
            learning.stop()
        server.close()
    return 0


_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


def create_app(predictor: Predictor, corrections: Corrections | None = None, learning: Learning | None = None) -> Flask:
    """Return the page as a WSGI application, which stores no photograph; with ``corrections``, the corrected ones."""
    from flask import Flask, abort, request
    from werkzeug.exceptions import HTTPException

    app = Flask(__name__)
    given = corrections.labels().values() if corrections else ()
    labels = tuple(dict.fromkeys((*predictor.class_names, *given)))
    session = _Session(predictor, labels, predictor.crop, corrections, learning)
    app.config.update(MAX_CONTENT_LENGTH=UPLOAD_BYTES, MAX_FORM_PARTS=UPLOAD_FILES)

    @app.before_request
    def refuse_other_sites() -> None:
        # Another site may resolve to this machine (DNS rebinding) or post to it, but it cannot set a custom header, and
        # its browser tells where a request comes from.
        if request.host.partition(":")[0] not in (HOST, "localhost"):
            abort(403, f"host {request.host!r}: allowed are {HOST} and localhost")
        came_from = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        own = came_from[0] in (None, "same-origin") and came_from[1] in (None, request.host_url.rstrip("/"))
        if request.method == "POST" and not (own and "X-Bloodtune" in request.headers):
            abort(403, "only the page itself may send this request")

    @app.get("/")
    def page() -> tuple[str, dict[str, str]]:
        nonce = secrets.token_urlsafe(16)
        texts: dict[str, Any] = {"note": FOR_RESEARCH, "suffixes": suffixes(), "method": METHOD, "differs": DIFFERS}
        texts |= {"corrections": corrections, "upload_bytes": UPLOAD_BYTES}
        page = render("serve.html.j2", predictor=session.predictor, nonce=nonce, model=session.model(), **texts)
        policy = f"{_POLICY}; script-src 'nonce-{nonce}'"
        return page, {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}

    @app.errorhandler(HTTPException)
    def as_json(error: HTTPException) -> tuple[dict[str, str], int]:
        too_large = f"more than {UPLOAD_BYTES // 2**20} MB or {UPLOAD_FILES:,} files at once"
        return {"error": too_large if error.code == 413 else str(error.description)}, error.code or 500

    _add_routes(app, session)
    if corrections and learning:
        _add_learning(app, session, corrections, learning)
    return app


def _add_routes(app: Flask, session: _Session) -> None:
    from flask import abort, request

    from bloodtune.inference.field_predictor import FieldPredictor
    from bloodtune.inference.predictor import Image

    @app.post("/predict")
    def predict() -> list[dict[str, Any]]:
        images = [Image(file.filename or "photograph", file.stream) for file in request.files.getlist("files")]
        asked = {"crop": (flags.positive, "crop"), "microns": (flags.microns_per_pixel, "micrometres per pixel")}
        given: dict[str, Any] = {}
        for name, (parse, noun) in asked.items():
            text = request.form.get(name, "").strip()
            try:
                given[name] = parse(text) if text else None
            except argparse.ArgumentTypeError as error:
                abort(400, f"{noun} = {error}")
        crop, predictor = given["crop"] or session.crop, session.predictor
        if "find" in request.form:
            fields = FieldPredictor(predictor, given["microns"], crop, _PREVIEW, page=FIELD_PREVIEW)
            return session.answers(fields.predict(images))
        return session.answers(predictor.predict(images, crop=crop, preview=_PREVIEW))

    @app.post("/count")
    def count() -> dict[str, Any]:
        body = request.get_json()
        given: dict[str, Any] = {"counts": None, "unknown": None, "manual": {}, "find": False}
        given |= body if isinstance(body, dict) else {}
        counts, manual, unknown = given["counts"], given["manual"], given["unknown"]
        tables = isinstance(counts, dict) and isinstance(manual, dict)
        if not tables or not all(map(_is_count, (*counts.values(), *manual.values(), unknown))):
            abort(400, "expected counts by class name, and unknown: whole numbers from 0, below 10**9")
        tally = Tally(session.labels, finding=bool(given["find"]), manual=Counter(manual), counts=Counter(counts))
        tally.unknown = unknown
        compared = compare_counts(tally) if tally.manual.total() else []
        return {
            "rows": [[row.label, row.images, *row.cells(), row.unit] for row in tally.rows()],
            "alarm": tally.alarm,
            "compared": [[*one.manual.cells(), one.shown_p_value, one.verdict] for one in compared],
        }


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 10**9


def _add_learning(app: Flask, session: _Session, corrections: Corrections, learning: Learning) -> None:
    from flask import abort, request

    @app.errorhandler(InputError)
    def unusable(error: InputError) -> tuple[dict[str, str], int]:
        return {"error": str(error)}, 400

    @app.errorhandler(OSError)
    def failed(error: OSError) -> tuple[dict[str, str], int]:
        return {"error": one_line(error)}, 500

    @app.post("/correct")
    def correct() -> dict[str, Any]:
        body = request.get_json()
        tile, label = (body.get("tile"), body.get("label")) if isinstance(body, dict) else (None, None)
        if not isinstance(tile, str) or label not in session.labels:
            abort(400, "the body must be a JSON object: tile, a PNG file in base64, and label, one of the classes")
        try:
            content = base64.b64decode(tile.encode(errors="replace"), validate=True)
            corrections.add(content, label, (session.predictor.size, session.predictor.size))
        except binascii.Error:
            abort(400, "tile is no base64")
        return learned()

    @app.get("/learning")
    def learned() -> dict[str, Any]:
        labels = corrections.labels()
        return learning.state() | {"stored": len(labels), "lacking": lacking(labels)}

    @app.post("/learning/<action>")
    def learn(action: str) -> dict[str, Any]:
        if action == "accept":
            return session.use(learning.accept())
        if action not in ("start", "stop"):
            abort(404)
        learning.start() if action == "start" else learning.stop()
        return learned()


def _bind(app: Flask, port: int) -> Any:
    import waitress

    # A browser that sends several requests at once would be reported on the screen.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    try:
        return waitress.create_server(
            app, host=HOST, port=port, threads=4, ident=None, max_request_body_size=UPLOAD_BYTES
        )
    except OSError as error:
        raise InputError(f"port {port} cannot be used: {error.strerror}; --port N selects another") from None


def _parser() -> argparse.ArgumentParser:
    parser = flags.OneLineParser(
        prog="python -m bloodtune.serve",
        description="Serve a page that counts cells, on this machine only: drop photographs, see the count and\n"
        "each class, correct mistakes, download the table. No photograph leaves this machine,\n"
        "and only what is corrected is stored, with --corrections. Research software: not for diagnosis.",
    )
    add = parser.add_argument
    add("--model", metavar="DIR", help=MODEL_HELP)
    add(
        "--threshold",
        type=flags.share,
        metavar="P",
        help="an image is unsure if the probability of its class is below P (default: the model's own threshold)",
    )
    add(
        "--corrections",
        metavar="DIR",
        help="keep corrected pictures in DIR, a folder that adapt takes, and offer to learn from them (default: none)",
    )
    add("--port", type=flags.port, default=PORT, metavar="N", help=f"port on this machine (default: {PORT})")
    return parser


if __name__ == "__main__":
    leave(main())
