"""Files beside the HTML page: release notes, model cards, JSON, CSV."""
