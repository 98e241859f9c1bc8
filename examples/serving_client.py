"""Asks a model that TensorFlow Serving holds, over REST, with Python's standard library only.

Export a model in TensorFlow Serving's layout and serve it:

    ksparse export runs/demo models/digits --versioned
    docker run -p 8501:8501 -v "$PWD/models/digits:/models/digits" -e MODEL_NAME=digits tensorflow/serving

Then ask; the file holds the inputs by name, a list of samples each, such as {"x": [[0.0, 1.0, ...], ...]}:

    python examples/serving_client.py digits questions.json
    python examples/serving_client.py digits questions.json --signature features --version 2
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


def predict(
    url: str, model: str, inputs: dict[str, Any], *, signature: str = "serving_default", version: int | None = None
) -> Any:
    """Return the model's answers, a list with one for each sample.

    Args:
        url: of the server, such as "http://localhost:8501".
        model: its name there.
        inputs: by name, each a (nested) list with one entry a sample.
        signature: which one to ask: "serving_default" takes raw inputs, "features" preprocessed ones.
        version: of the model; the latest by default.

    Raises:
        RuntimeError: the server refuses, with what it says, or cannot be reached.
    """
    which = "" if version is None else f"/versions/{version}"
    request = urllib.request.Request(  # noqa: S310 - the address is the caller's
        f"{url.rstrip('/')}/v1/models/{model}{which}:predict",
        data=json.dumps({"signature_name": signature, "inputs": inputs}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            return json.load(response)["outputs"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"The server refuses: {error.read().decode(errors='replace')}") from None
    except urllib.error.URLError as error:
        raise RuntimeError(f"Cannot reach {url}: {error.reason}. Is the server running?") from None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Ask a model that TensorFlow Serving holds.")
    parser.add_argument("model")
    parser.add_argument("inputs", type=Path, help="JSON file: inputs by name")
    parser.add_argument("--url", default="http://localhost:8501")
    parser.add_argument("--signature", default="serving_default")
    parser.add_argument("--version", type=int)
    options = parser.parse_args(arguments)
    try:
        inputs = json.loads(options.inputs.read_text("utf-8"))
        answers = predict(options.url, options.model, inputs, signature=options.signature, version=options.version)
    except (OSError, ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(answers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
