"""The pages of docs/reference, made from the code and from conf/. Each module has one page."""


def pages() -> dict[str, str]:
    """Return each page's Markdown by its file name."""
    from docs.generators import catalogue, flags, settings, summary

    made = {"settings": settings, "catalogue": catalogue, "flags": flags, "summary": summary}
    return {f"{name}.md": module.page() for name, module in made.items()}
