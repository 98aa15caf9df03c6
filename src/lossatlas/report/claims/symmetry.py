"""The claim about rescalings that leave the network as it is (section 4)."""

from __future__ import annotations

from lossatlas.report.artefacts import Results
from lossatlas.report.claims.rule import Evidence, MissingError, Rule

# relative: float32 and the constant in batch normalization leave about 1e-3; a curve moved by a tenth looks another
SAME, CHANGED = 0.01, 0.1
MEASURED = {
    "function": "largest change of the function",
    "filter": "of the filter-normalized line",
    "none": "of the line without normalization",
}


def scale_invariance(results: Results) -> Evidence:
    """Compare function and lines before and after each rescaling."""
    tried = {name: item for name, item in sorted(results.invariances.items()) if item.info["status"] == "finished"}
    if not tried:
        reasons = [str(item.info.get("reason")) for item in results.invariances.values()]
        raise MissingError("no rescaled network" + (f" ({'; '.join(reasons)})" if reasons else ""))
    found = Evidence()
    for name, item in tried.items():
        rescalings = [row for row in item.info["function_difference"] if row != "as trained"]
        found.require(len(rescalings) >= 2, f"{name}: fewer than two rescalings were tried")
        for row in rescalings:
            at = f"{name}, {row}"
            changes = {
                kind: found.add(f"{at}: {words}", item.info[f"{kind}_difference"][row], none="not finite")
                for kind, words in MEASURED.items()
            }
            found.require(changes["function"].size <= SAME, f"{at}: the function changes")
            found.require(changes["filter"].size <= SAME, f"{at}: the filter-normalized line changes")
            found.require(changes["none"].size >= CHANGED, f"{at}: the line without normalization does not change")
    return found


RULES = (
    Rule(
        "scale_invariance",
        "After each rescaling (one layer x 10 and the next / 10; batch-normalized filters x 100) outputs and "
        f"filter-normalized line must change by at most {100 * SAME:g} %, the line along a direction without "
        f"normalization by at least {100 * CHANGED:g} %.",
        scale_invariance,
        ("scale-invariance", "rescalings"),
    ),
)
