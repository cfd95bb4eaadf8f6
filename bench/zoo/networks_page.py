"""The page docs/networks.md, made from the record of the zoo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from outcome import Record
from page import table

Entry = Record

# What stands in the record, and the heading of its column.
ENGINES = {
    "paddle frozen": "oneDNN, frozen",
    "paddle-x86": "oneDNN, paddle-x86",
    "openvino qdq": "OpenVINO, QDQ",
    "openvino": "OpenVINO, openvino",
    "onnx openvino": "OpenVINO, ONNX",
    "onnx onnxruntime": "ONNX Runtime",
    "lite x86": "Lite x86",
    "lite arm": "Lite ARM",
}
WORDS = {"refused": "no", "died": "dies", "fault": "fault"}


_ABOUT = {
    "cpu": (
        "Without VNNI",
        "networks.json",
        "On such processors int8 kernels of OpenVINO and oneDNN add products in pairs in 16 bits, which"
        " saturate where weights and activations use their whole range.",
    ),
    "vnni": (
        "With VNNI",
        "networks-vnni.json",
        "The files are those for all processors, in which weights are a bit coarser than the targets `+vnni`"
        " write them.",
    ),
}


def page(records: Mapping[str, Record]) -> str:
    """The page for the records that there are, by the kind of processor."""
    parts = [part for kind, record in records.items() for part in _part(kind, record)]
    counts = [len(_built(record)) for record in records.values()]
    return "\n\n".join([_head(max(counts)), *parts]) + "\n"


def _built(record: Record) -> dict[str, Entry]:
    return {name: found for name, found in record["networks"].items() if "not built" not in found}


def _part(kind: str, record: Record) -> Iterator[str]:
    title, file, note = _ABOUT[kind]
    where = record["environment"]
    instructions = f" with {', '.join(where['int8'])}" if "int8" in where else ""
    yield f"## {title}"
    yield (
        f"Made by `{record['command']}` from `docs/records/{file}` on {where['processor']}{instructions},"
        f" Paddle {where['paddle']}, Paddle Lite 2.13rc0, OpenVINO 2026.4.1. {note}"
    )
    yield from _rows(_built(record))
    yield from _reasons(record)


def _head(count: int) -> str:
    return f"""# Networks from elsewhere

```
make zoo        # builds the networks in the cache folder, takes each through everything, writes this page
```

{count} architectures of `paddle.vision`, paddleclas 2.6.0, paddledet 2.6.0 and paddleseg 2.8.0, and
recognisers of text with the recurrent layers of `paddle.nn`; all with **random weights** and batch norms
settled on noise, fed with small pictures of noise. So the table says what runs, in int8 and right, and
nothing about accuracy. A random network amplifies what is small: look at *int8* and *ties* before the others.

* **ops**: of the program. **layers**: quantized, of those of a type that can be.
* **int8**: what quantization itself changes, float against frozen. **ties**: how far the frozen model moves
  when its input is moved in the last bits (1e-6), so that values on a rounding boundary fall elsewhere.
* The engines: layers computed in int8, and the distance from the frozen model. In Lite on x86 float kernels
  compute on the same integers. Files for ARM are verified; they cannot be run on x86.
* **oneDNN, frozen** and **OpenVINO, QDQ** are the forms without a target; **paddle-x86** and **openvino** are
  those that `qcc freeze --target` writes, **OpenVINO, ONNX** and **ONNX Runtime** the files of `qcc export
  --target`. Paddle's oneDNN runs convolutions alone in int8.
* Every distance is the largest difference of an output, relative to the range of its values; of detectors
  it is taken in front of the first op that selects boxes.
* **whole**: with the selecting ops and all behind them. **no**: refused with a sentence, below.
  **dies**: the engine ends its process. **fault**: a traceback.

Scales are largest magnitudes on one batch; weights are per channel."""


def _rows(networks: dict[str, Entry]) -> Iterator[str]:
    rows = []
    for name, found in networks.items():
        prepared = found["prepared"]
        if "ops" not in prepared:
            rows.append((name, _why(prepared), *[""] * (3 + len(ENGINES))))
            continue
        rows.append(
            (
                name,
                str(prepared["ops"]),
                f"{prepared['quantized']} of {prepared['quantizable']}",
                _distance(prepared["frozen"]),
                _distance(prepared["ties"]),
                *(_cell(found[engine]) if engine in found else "" for engine in ENGINES),
            )
        )
    yield table(("network", "ops", "layers", "int8", "ties", *ENGINES.values()), rows)


def _cell(found: Entry) -> str:
    if _why(found):
        return _why(found)
    count = str(sum(found["int8"].values())) if "int8" in found else ""
    distance = _distance(found) if "largest" in found or "sound" in found else ""
    whole = ", whole: no" if "whole" in found else ""
    return ": ".join(part for part in (count, distance) if part) + whole


def _why(found: Entry) -> str:
    return next((word for key, word in WORDS.items() if key in found), "")


def _distance(found: Entry) -> str:
    if not found.get("sound", True):
        return "not finite, or another shape"
    value = found["largest"]
    return "equal" if value == 0 else f"{value:.3f}" if value >= 5e-4 else f"{value:.0e}"


def _reasons(record: Record) -> Iterator[str]:
    """Who says no, or dies, and why; networks of one reason together."""
    said: dict[tuple[str, str], list[str]] = {}
    for name, found in record["networks"].items():
        if "not built" in found:
            said.setdefault(("not built", found["not built"]), []).append(name)
        for stage, result in found.items():
            if stage != "not built" and (word := _why(result)):
                key = next(key for key in WORDS if key in result)
                title = {"paddle float": "oneDNN, float", **ENGINES}.get(stage, stage)
                said.setdefault((f"{title}: {word}", result[key]), []).append(name)
            elif stage != "not built" and "whole" in result:
                said.setdefault((f"{ENGINES[stage]}, whole: no", result["whole"]), []).append(name)
    if said:
        yield "Why not:"
        lines = [f"* **{what}**, {', '.join(who)}: {why}" for (what, why), who in sorted(said.items())]
        yield "\n".join(lines)
