"""The health of the rows that a run was fitted on: what the doctor found, and what is missing or unknown in each feature."""

from __future__ import annotations

from typing import Any

from funnel.data.progress import Watch
from funnel.data.store import Store
from funnel.doctor.check import check
from funnel.doctor.finding import Finding
from funnel.errors import FunnelError
from funnel.schema.funnel_schema import FunnelSchema

FORMAT = 1


def health(schema: FunnelSchema, store: Store, watch: Watch = lambda _: None) -> dict[str, Any]:
    """What there is to say about a store's rows, for JSON.

    A fit that took hours is not lost to a store that has meanwhile become unreadable: that is then a finding.

    Args:
        schema: The declaration.
        store: The rows.
        watch: Called with each Progress.

    Returns:
        `findings`, errors first; `features`: by split and feature, the share of rows without it (`missing`) and, but for
        numbers, the share of its ids that have no row of their own (`oov`); and over how many training rows (`rows`) leaks and
        drift were looked for (`examined`).
    """
    found: dict[str, Any] = {"format": FORMAT, "rows": 0, "examined": 0, "findings": [], "features": {}}
    try:
        checkup = check(schema, store, watch=watch).as_dict()
        found |= {key: checkup[key] for key in ("rows", "examined", "findings")}
    except (FunnelError, OSError) as error:
        found["findings"] = [vars(Finding("error", "data", f"the rows could not be examined after the fit: {error}"))]
    for split, summary in store.manifest["splits"].items():
        features = summary.get("features", {})
        found["features"][split] = {
            name: {key: shares[key] for key in ("missing", "oov") if key in shares} for name, shares in features.items()
        }
    return found
