"""Files with rows -> the text of a schema that fits them: what `funnel init` proposes."""
