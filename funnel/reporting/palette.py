"""Colours and fonts of all that is drawn."""

from __future__ import annotations

# By variable: the colour on light paper, and on dark. All differ, so that a colour in a chart says which variable it is.
PALETTE = {
    "paper": ("#fefefe", "#14171c"),
    "text": ("#1b1f24", "#e6e9ee"),
    "muted": ("#5d6671", "#9aa5b1"),
    "line": ("#9aa1a9", "#66707b"),
    "grid": ("#e4e7eb", "#2a3038"),
    "band": ("#f4f6f8", "#1c2128"),
    "observed": ("#3d4650", "#c3cad3"),
    "predicted": ("#1f6fb5", "#62aef0"),
    "soft": ("#cfe1f2", "#23425f"),
    "better": ("#1b7837", "#5fc27e"),
    "worse": ("#b2182b", "#f2807f"),
    "unsure": ("#8a8f96", "#838c97"),
    "step1": ("#2f6db0", "#6fb1f2"),
    "step2": ("#d9822b", "#f0a651"),
    "step3": ("#3f9179", "#6cc7ab"),
    "step4": ("#8e5aa8", "#c194dc"),
    "step5": ("#b8a12c", "#dccb62"),
    "step6": ("#c2566e", "#ec8ba1"),
    "step7": ("#6b7785", "#a4b0be"),
}
LIGHT = {name: light for name, (light, _) in PALETTE.items()}
STEPS = tuple(LIGHT[f"step{number}"] for number in range(1, 8))
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
