"""spent.jsonl: what an endpoint took for no record, one JSON object a line.

The first line holds the schema, the number of lines and the BLAKE3 digest of the bytes after it. A file of schema 1 has
no such line, and a run that was killed may have cut its last one.
"""

import json
from collections.abc import Sequence

from blake3 import blake3

from harness.records import SCHEMA
from harness.records.shapes import mismatch
from harness.records.stored_json import Damaged, parse_object
from harness.records.stored_shape import shape_of
from harness.records.usage import SpentBeside
from harness.redaction.masked_data import mask_data

LINE = shape_of(SpentBeside)


def spent_text(lines: Sequence[SpentBeside]) -> str:
    body = "".join(f"{json.dumps(mask_data(line.to_json()))}\n" for line in lines)
    head = {"schema": SCHEMA, "lines": len(lines), "blake3": blake3(body.encode()).hexdigest()}
    return f"{json.dumps(head)}\n{body}"


def spent_lines(data: bytes) -> tuple[list[SpentBeside], str | None]:
    """Return the lines that can be read, and what is wrong with the file."""
    first, _, body = data.partition(b"\n")
    found: list[SpentBeside] = []
    bad, head = 0, None
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            value = parse_object(line, "") if line.strip() else None
        except Damaged:
            bad += 1
            continue
        if value and number == 1 and "schema" in value:
            head = value
        elif value and mismatch(value, LINE) is None:
            found.append(SpentBeside.from_json(mask_data(value)))
        else:
            bad += value is not None
    if head == {"schema": SCHEMA, "lines": len(found), "blake3": blake3(body).hexdigest()} and not bad:
        return found, None
    if head is None and not first.strip() and found:  # schema 1 begins with a line end
        return found, None
    return found, f"spent.jsonl does not match its digest; {len(found)} lines of it can be read"
