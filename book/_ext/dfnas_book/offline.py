"""A site that needs no network: maths from files that we copy, and no scripts from elsewhere.

The files come with the package sphinx-mathjax-offline (MathJax 3, Apache-2.0), whose own extension would
copy all 24 MB of them.
"""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

NEEDED = ("tex-chtml-full.js", "output/chtml/fonts/woff-v2")


def mathjax_folder() -> Path:
    """MathJax inside the installed package, which has a name that cannot be imported the usual way."""
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise ExtensionError("sphinx-mathjax-offline is not installed: pip install -r requirements.txt")
    return Path(spec.origin).parent / "static" / "mathjax"


def configure(app: Sphinx, config: Config) -> None:
    """Use our copy, with no menu: it would look for files that are not there, and make each formula a tab stop."""
    config.mathjax_path = "mathjax/tex-chtml-full.js"
    mathjax = dict(config.mathjax3_config or {})
    mathjax["options"] = {**mathjax.get("options", {}), "enableMenu": False}
    config.mathjax3_config = mathjax


def copy(app: Sphinx, error: Exception | None) -> None:
    """Copy MathJax into the finished site, once."""
    target = Path(app.outdir) / "_static" / "mathjax"
    if error is not None or app.builder.format != "html":
        return
    for name in NEEDED:
        source, copied = mathjax_folder() / name, target / name
        if copied.exists():
            continue
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, copied) if source.is_dir() else shutil.copy(source, copied)


def drop_source_maps(app: Sphinx, error: Exception | None) -> None:
    """Take out of the finished site what only a debugger of the theme reads: an eighth of its bytes."""
    for path in Path(app.outdir).rglob("*.map"):
        path.unlink()


def drop_thebe(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Leave out the scripts of Thebe: they name a server of packages, and declare the same constant twice."""
    scripts = context.get("script_files", [])
    context["script_files"] = [script for script in scripts if "thebe" not in described(script)]


def described(script: Any) -> str:
    """File name and inline text of a script that Sphinx will put into a page."""
    return f"{getattr(script, 'filename', script)} {getattr(script, 'attributes', {}).get('body', '')}".lower()


def setup(app: Sphinx) -> None:
    """Register them; the configuration must be set before the theme and MyST read it."""
    app.connect("config-inited", configure, priority=100)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", copy)
    app.connect("build-finished", drop_source_maps)
