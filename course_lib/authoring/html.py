"""An executed notebook as one HTML file that needs nothing else: pictures inside, formulas as MathML, no scripts."""

from __future__ import annotations

import re
from typing import Any

from nbconvert.exporters import HTMLExporter
from nbconvert.exporters.html import contextfilter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

# What latex2mathml does not know, in words that it does, and the symbols that it lets stand after \Big.
RENAMED = {
    r"\begin{aligned}": r"\begin{align*}",
    r"\end{aligned}": r"\end{align*}",
    r"\lvert": "|",
    r"\rvert": "|",
    r"\arg": r"\operatorname{arg}",
}
SYMBOLS = {
    **{r"\lfloor": "⌊", r"\rfloor": "⌋", r"\lceil": "⌈", r"\rceil": "⌉", r"\langle": "⟨", r"\rangle": "⟩"},
    **{r"\lVert": "‖", r"\rVert": "‖", r"\Vert": "‖", r"\|": "‖"},
}
REMOTE_SCRIPT = re.compile(r'<script[^>]*\bsrc="(?:https?:)?(?://[^"]*)?"[^>]*>\s*</script>', re.IGNORECASE)
FUNCTION = re.compile(  # log D, not logD; browsers leave no space after a name of several letters
    r"(<(m[io])>(?:log|exp|sin|cos|tan|tanh|arctan|det|dim|ln|min|max|sup|inf|arg)</\2>)"
    r"(?=<(?:mi|mn|msub|msup|mfrac|msqrt|mrow))"
)
BOLD = re.compile(r'mathvariant="bold(?:-italic)?"')  # not in MathML Core, which is what browsers draw

# A font made for formulas, wherever one is installed, and the frame of boxed formulas, which browsers leave out.
STYLE = """<style>
math { font-size: 1.1em;
       font-family: "STIX Two Math", "Latin Modern Math", "Cambria Math", "DejaVu Math TeX Gyre", math; }
menclose[notation~="box"] { border: 1px solid; padding: 0.3em 0.5em; }
</style>
</head>"""


def mathml(latex: str, *, block: bool) -> str:
    """LaTeX as MathML; what cannot be converted stays as it was written, between its dollars."""
    from latex2mathml.converter import convert

    source = latex.strip()
    for old, new in RENAMED.items():
        source = source.replace(old, new)
    try:
        converted = convert(source, display="block" if block else "inline").replace("<mi>&</mi>", "")
    except Exception:  # the converter raises whatever its parser trips over
        converted = "\\"
    for name, symbol in SYMBOLS.items():
        converted = converted.replace(f">{name}<", f">{symbol}<")
    if "\\" in converted:  # a command that it does not know
        dollars = "$$" if block else "$"
        return f"<code>{dollars}{_escape(latex)}{dollars}</code>"
    converted = converted.replace("<mo>&#x02016;<", '<mo stretchy="false">&#x02016;<')  # ‖ as tall as its line
    converted = FUNCTION.sub(r'\1<mspace width="0.167em" />', converted)
    return BOLD.sub('style="font-weight:bold"', converted)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _Renderer(IPythonRenderer):
    def block_math(self, body: str) -> str:
        return mathml(body, block=True)

    def inline_math(self, body: str) -> str:
        return mathml(body, block=False)

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", block=True)


class Exporter(HTMLExporter):
    """nbconvert's HTML, made to stand alone."""

    @contextfilter
    def markdown2html(self, context: Any, source: str) -> str:
        cell = context.get("cell", {})
        # embedding images would parse each piece of HTML alone, and so close a <details> before its content
        renderer = _Renderer(escape=False, attachments=cell.get("attachments", {}), embed_images=False)
        return MarkdownWithMath(renderer=renderer).render(source)


def to_html(notebook: Any, title: str) -> str:
    """The text of the HTML file of an executed notebook (a `nbformat` node)."""
    body, _ = Exporter(embed_images=True, mathjax_url="", require_js_url="").from_notebook_node(
        notebook, resources={"metadata": {"name": title}}
    )
    return REMOTE_SCRIPT.sub("", body).replace("</head>", STYLE, 1)
