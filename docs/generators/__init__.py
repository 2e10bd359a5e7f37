"""The pages of docs/reference, made from the code and from conf/. Each module has one page."""


def pages() -> dict[str, str]:
    """Return each page's Markdown by its file name."""
    from docs.generators import catalogue, settings, summary

    return {"settings.md": settings.page(), "catalogue.md": catalogue.page(), "summary.md": summary.page()}
