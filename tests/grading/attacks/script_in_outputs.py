# ruff: noqa
"""Displays HTML, JavaScript, SVG and Markdown with scripts, styles, links and forms in them.

class: outputs
earns: all
"""

# %% double
from IPython.display import display, HTML, Javascript, SVG, Markdown, Latex, IFrame

display(
    HTML("<script>alert(1)</script><img src=x onerror=alert(1)><style>*{display:none}</style><form action=//e.org>")
)
display(Javascript("alert(1)"))
display(SVG(data="<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(1)</script></svg>"))
display(Markdown("[x](javascript:alert(1)) <script>alert(1)</script> ![x](http://example.org/pixel.png)"))
display(Latex("\\href{javascript:alert(1)}{x}"))
display(
    {"application/json": "{}", "text/html": 5, "<script>": "x", "image/png": "not base64", "text/plain": "x"}, raw=True
)
display(
    {"application/vnd.jupyter.widget-view+json": '{"model_id": "1"}'},
    raw=True,
    metadata={"text/html": {"isolated": False}},
)
print("\x1b]8;;http://example.org\x07link\x1b[2J\x1b[31m\u202e\x00")


def double(x):
    return 2 * x
