"""The command `serve`: a local web page to drop photographs, see the count and correct it.

Flask, waitress and torch are imported inside functions, so that `--help` and errors in flags appear at once.
"""

from __future__ import annotations

import argparse
import base64
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bloodtune import command_line as flags
from bloodtune.command_line import leave, print_lines, run_action
from bloodtune.data.photographs import suffixes
from bloodtune.errors import InputError
from bloodtune.inference.differential import FieldCount, Result, Unreadable, differential, unknown_alarm
from bloodtune.inference.templates import render
from bloodtune.inference.writers import FIELD_PREVIEW, FOR_RESEARCH, as_mapping, with_picture
from bloodtune.predict import MODEL_HELP, load_predictor

if TYPE_CHECKING:
    from flask import Flask

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


def _serve(arguments: argparse.Namespace) -> int:
    app = create_app(load_predictor(arguments.model, arguments.threshold, "serve"))
    server = _bind(app, arguments.port)
    print_lines(f"serve: open http://{HOST}:{arguments.port} on this machine; Ctrl-C stops the server")
    try:
        server.run()
    finally:
        server.close()
    return 0


def create_app(predictor: Predictor) -> Flask:
    """Return the page as a WSGI application, which stores no photograph."""
    from flask import Flask, abort, request
    from werkzeug.exceptions import HTTPException

    app = Flask(__name__)
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
        policy = (
            "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; "
            f"script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        texts: dict[str, Any] = {"note": FOR_RESEARCH, "suffixes": suffixes()}
        page = render("serve.html.j2", predictor=predictor, nonce=nonce, upload_bytes=UPLOAD_BYTES, **texts)
        return page, {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}

    @app.errorhandler(HTTPException)
    def as_json(error: HTTPException) -> tuple[dict[str, str], int]:
        too_large = f"more than {UPLOAD_BYTES // 2**20} MB or {UPLOAD_FILES:,} files at once"
        return {"error": too_large if error.code == 413 else str(error.description)}, error.code or 500

    _add_routes(app, predictor)
    return app


def _add_routes(app: Flask, predictor: Predictor) -> None:
    from flask import abort, request

    from bloodtune.inference.field_predictor import FieldPredictor
    from bloodtune.inference.predictor import Image

    @app.post("/predict")
    def predict() -> list[dict[str, Any]]:
        images = [Image(file.filename or "photograph", file.stream) for file in request.files.getlist("files")]
        text = request.form.get("crop", "")
        if text and not (text.isascii() and text.isdecimal() and int(text)):
            abort(400, f"crop = {text!r}: allowed are whole numbers of pixels from 1")
        crop = int(text) if text else None
        if "find" in request.form:
            found = FieldPredictor(predictor, None, crop, _PREVIEW, page=FIELD_PREVIEW).predict(images)
        else:
            found = predictor.predict(images, crop=crop, preview=_PREVIEW)
        return [_answer(result, predictor) for result in found]

    @app.post("/count")
    def count() -> dict[str, Any]:
        body = request.get_json()
        fields: dict[str, Any] = {"counts": None, "unknown": None, "find": False} | (body if isinstance(body, dict) else {})
        counts, unknown = fields["counts"], fields["unknown"]
        if not isinstance(counts, dict) or not all(
            type(n) is int and 0 <= n < 10**9 for n in (*counts.values(), unknown)
        ):
            abort(400, "the body must be a JSON object: counts by class name, and unknown; whole numbers below 10**9")
        rows = differential(counts, predictor.class_names)
        return {
            "rows": [[row.label, row.images, *row.cells(), row.unit] for row in rows],
            "alarm": unknown_alarm(unknown, sum(counts.values()), "cell" if fields["find"] else "image"),
        }


def _answer(result: Result, predictor: Predictor) -> dict[str, Any]:
    if isinstance(result, FieldCount):
        return result.as_mapping() | {"picture": base64.b64encode(result.preview).decode()}
    if isinstance(result, Unreadable):
        return as_mapping(result, predictor.class_names)
    return with_picture(result, predictor.class_names)


def _bind(app: Flask, port: int) -> Any:
    import waitress

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
        "each class, correct mistakes, download the table. No photograph leaves this machine or\n"
        "is stored. Research software: not for diagnosis.",
    )
    add = parser.add_argument
    add("--model", metavar="DIR", help=MODEL_HELP)
    add(
        "--threshold",
        type=flags.share,
        metavar="P",
        help="an image is unsure if the probability of its class is below P (default: the model's own threshold)",
    )
    add("--port", type=flags.port, default=PORT, metavar="N", help=f"port on this machine (default: {PORT})")
    return parser


if __name__ == "__main__":
    leave(main())
