"""What every HTML page is made with: one file that opens offline, in English and Chinese, light and dark.

`render` is the way in; `pages.toml` says which template, texts, styles and scripts a page has. A page holds
everything it needs and its content security policy allows nothing else: whatever a model or a dataset says,
nothing runs but our own scripts, and no request leaves the page.
"""

from reports.page.extra import require_packages
from reports.page.rendering import render

__all__ = ["render", "require_packages"]
