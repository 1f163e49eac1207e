"""Makes what students wrote and printed safe to show in a page, and keeps it readable.

Everything here takes text of any kind and answers HTML in which no script runs, which asks nothing of any server when
it is opened, and which cannot leave the box that the page gives it. The walls, one behind the other: HTML is parsed
and written anew by nh3 with a list of what may stay; formulas, pictures and styles have lists of their own, for nh3
does not look into them; and the page's Content-Security-Policy (`POLICY`) forbids what might still get through.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import functools
import html as escaping
import io
import re
import signal
import threading
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from course_lib.errors import CourseError

try:
    import nh3
    from markupsafe import Markup
except ImportError as error:
    raise CourseError(f"Feedback needs {error.name}; install course_lib[instructor].") from error

# For a <meta> element at the head of a page, before anything else.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

SHOWN = 20_000  # characters of one text; of a longer one its beginning and its end
LARGEST_HTML = 10_000_000  # characters, with its pictures
LARGEST_PICTURE = 8_000_000  # characters of base64, or of SVG
PIXELS = 40_000_000
SECONDS = 2.0  # of the processor, that one piece may take

# ------------------------------------------------------------------------------------------------- time


class TooLong(BaseException):
    """A piece was made to take long. Not an Exception, for what converts Markdown and formulas catches those."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise TooLong where the statements inside take more time of the processor. No limit where there are no timers."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: Any) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 0.2)  # again and again: in a destructor an exception is lost
    try:
        yield
    finally:
        while True:
            try:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
                signal.signal(signal.SIGVTALRM, before)
                break
            except TooLong:
                continue


# ------------------------------------------------------------------------------------------------- text

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffe\uffff]")
COLOUR = re.compile(r"(\x1b\[[\d;]{0,40}m)")
SEQUENCE = re.compile(r"\x1b(?:\[[0-?]{0,40}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)|[@-Z\\^_])?")


def clean(text: Any) -> str:
    """Text without control characters and halves of characters, which no page can hold."""
    text = text if isinstance(text, str) else "" if text is None else str(text)
    return CONTROL.sub("", text.encode("utf-8", "replace").decode())


def cut(text: str, shown: int = SHOWN) -> str:
    """A long text without its middle, with a note of how much that was."""
    if len(text) <= shown + 200:
        return text
    first, last = shown * 3 // 4, shown // 4
    return f"{text[:first]}\n\n[… {len(text) - shown:,} characters are left out here …]\n\n{text[-last:]}"


def plain(text: Any, shown: int = SHOWN) -> Markup:
    """Text as it is."""
    return Markup(escaping.escape(cut(clean(text), shown)))


def terminal(text: Any, shown: int = SHOWN) -> Markup:
    """What a program printed, with the colours of its escape sequences and as overwritten by carriage returns."""
    from nbconvert.filters.ansi import ansi2html

    text = text if isinstance(text, str) else ""
    if len(text) > 4 * shown:  # its middle would be left out in any case
        gap = f"\n\n[… {len(text) - 4 * shown:,} characters are left out here …]\n\n"
        text = text[: 2 * shown] + gap + text[-2 * shown :]
    lines = text.replace("\r\n", "\n").split("\n")
    text = "\n".join(next((part for part in reversed(line.split("\r")) if part), "") for line in lines)
    pieces = COLOUR.split(cut(text, shown))
    pieces[::2] = [SEQUENCE.sub("", piece).replace("\x1b", "") for piece in pieces[::2]]
    kept = "".join(clean(piece) if k % 2 == 0 else piece for k, piece in enumerate(pieces))
    return Markup(ansi2html(kept))


def strip(text: Any) -> str:
    """Text without escape sequences and control characters; not HTML."""
    return clean(SEQUENCE.sub("", text if isinstance(text, str) else ""))


def code(source: Any) -> Markup:
    """A cell's code in colours, as spans for inside of <pre>."""
    source = clean(source)
    _pygments()
    if len(source) <= SHOWN * 3:
        with contextlib.suppress(TooLong), within(SECONDS):
            return Markup(_highlighted(source))
    return plain(source, SHOWN * 3)


def _highlighted(source: str) -> str:
    from pygments import highlight

    return highlight(source, *_pygments())


@functools.cache
def _pygments() -> tuple[Any, Any]:
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    return get_lexer_by_name("ipython3", stripnl=False), HtmlFormatter(nowrap=True)


# ------------------------------------------------------------------------------------------------- HTML


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TAGS = _words(
    "a abbr b bdi big blockquote br caption center cite code col colgroup dd del details dfn div dl dt em figcaption "
    "figure font h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q rp rt ruby s samp small span strike strong sub "
    "summary sup table tbody td tfoot th thead tr tt u ul var wbr"
)
WITH_CONTENT = _words(  # what stands inside goes, too
    "script style template title textarea select option xmp iframe frameset noembed noframes noscript plaintext svg "
    "math object embed applet audio video canvas base link meta dialog button"
)
ATTRIBUTES: dict[str, set[str]] = {
    "*": {"style", "title", "dir"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "td": {"colspan", "rowspan", "align", "valign"},
    "th": {"colspan", "rowspan", "align", "valign", "scope"},
    "col": {"span"},
    "colgroup": {"span"},
    "ol": {"start", "type"},
    "li": {"value"},
    "details": {"open"},
    "font": {"color"},
    "data": {"value"},  # where it may stay, see _markdown
}
LINK = re.compile(r"(?:https?://|mailto:)[^\s\x00-\x20\"'<>\\^`{|}]{1,2000}", re.IGNORECASE)
SMALL = re.compile(r"\d{1,4}%?")
WORD = re.compile(r"[a-zA-Z]{1,20}|#[0-9a-fA-F]{3,8}|\d{1,4}")
FORMATTING = re.compile(r"<(?:a|b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)[\s/>]", re.IGNORECASE)
TAG, BASE64 = re.compile(r"<[a-zA-Z]"), re.compile(r";base64,[A-Za-z0-9+/=]+")
STYLES = _words(
    "color background background-color font-family font-size font-style font-weight text-align text-decoration "
    "vertical-align white-space width height min-width max-width max-height border border-collapse border-spacing "
    "border-top border-right border-bottom border-left border-color border-style border-width border-radius padding "
    "padding-top padding-right padding-bottom padding-left margin margin-top margin-right margin-bottom margin-left "
    "list-style-type line-height"
)
# Words, colours, numbers and lengths: nothing negative, no address, no function but those of colours, no escapes.
VALUE = (
    r"(?:(?:rgb|hsl)a?\([\d.,%/ ]{1,40}\)|#[0-9a-f]{3,8}|(?:\d{1,4}(?:\.\d{1,6})?|\.\d{1,6})(?:px|em|rem|ex|ch|pt|%)?|"
    r"[a-z]{1,20}(?:-[a-z]{1,20}){0,3})"
)
STYLE = re.compile(rf"{VALUE}(?:[ ,]{{1,3}}{VALUE})*", re.IGNORECASE)
SIZE = re.compile(r"[a-z]{1,10}(?:-[a-z]{1,10})?|[1-4]?\d(?:\.\d{1,3})?p[xt]|[0-2](?:\.\d{1,3})?r?em|[12]?\d?\d%")


def html(text: Any) -> Markup | None:
    """HTML with what may stay of it: text and its marks, tables, pictures that it brings itself, links to the web.

    None where it is too large or too tangled to be looked through in a second or two.
    """
    text = clean(text)
    return Markup(_without_empty_pictures(_cleaner().clean(text))) if _simple(text) else None


def cleaned(element: Any) -> Markup:
    """nbconvert's filter `clean_html`: what `html` leaves; the mere text where it declines; a drawing as a picture."""
    text = element.decode("utf-8", "replace") if isinstance(element, bytes) else str(element)
    if text.lstrip()[:5].lower() in ("<?xml", "<svg "):
        address = svg(text)
        return Markup('<img src="{}">').format(address) if address else Markup()
    made = html(text)
    return plain(escaping.unescape(re.sub(r"<[^<>]*>", "", text))) if made is None else made


IMAGE = re.compile(r'<img((?: [a-z]+="[^"]*")*)>')
ALT = re.compile(r' alt="([^"]*)"')


def _without_empty_pictures(cleaned: str) -> str:
    """Say in words that a picture is left out. `cleaned` is as nh3 writes it: quotes in attributes are escaped."""

    def words(match: re.Match[str]) -> str:
        if ' src="' in match[1]:
            return match[0]
        alt = ALT.search(match[1])
        name = escaping.escape(escaping.unescape(alt[1]).strip()) if alt else ""
        return f"[{name or 'a picture'}]"

    return IMAGE.sub(words, cleaned)


def _simple(text: str) -> bool:
    """Whether the time to parse `text` is bounded: a parser of HTML takes the square of its depth, and of the number
    of attributes in a tag, and repeats each open mark in every paragraph that follows."""
    if len(text) > LARGEST_HTML or len(BASE64.sub("", text)) > 150_000:
        return False
    tags = len(TAG.findall(text))
    return tags <= 4000 and text.count("</") <= 10_000 and tags * len(FORMATTING.findall(text)) <= 1_000_000


@functools.cache
def _cleaner(*more: str) -> nh3.Cleaner:
    from pygments.token import STANDARD_TYPES

    return nh3.Cleaner(
        tags=TAGS | set(more),
        clean_content_tags=WITH_CONTENT,
        attributes=ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto", "data"},  # data: only in pictures, see _attribute
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
        allowed_classes={
            "span": {name for name in STANDARD_TYPES.values() if name},
            "div": {"highlight", "hl-ipython3"},
        },
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    """What stays of an attribute; None takes it away. Must not raise: nh3 would keep the attribute."""
    try:
        if name == "style":
            return style(value)
        if name == "href":
            return value if LINK.fullmatch(value) else None
        if name == "src":
            return picture(value)
        if name in ("width", "height", "colspan", "rowspan", "span", "start", "value"):
            return value if SMALL.fullmatch(value) else None
        if name in ("align", "valign", "scope", "type", "dir", "color"):
            return value if WORD.fullmatch(value) else None
        if name == "open":
            return ""
        return value if name in ("title", "alt", "rel", "target", "class") else None
    except Exception:
        return None


def style(text: str) -> str | None:
    """The declarations of a style attribute that only change how text, boxes and tables look; None if there is none."""
    kept = []
    for declaration in text[:4000].split(";"):
        name, _, value = declaration.partition(":")
        name, value = name.strip().lower(), value.strip()
        pattern = SIZE if name == "font-size" else STYLE
        if name in STYLES and 0 < len(value) <= 100 and pattern.fullmatch(value):
            kept.append(f"{name}: {value}")
    return "; ".join(kept) or None


# --------------------------------------------------------------------------------------------- pictures

DATA = re.compile(
    r"\s*data:image/(png|jpe?g|gif|webp|svg\+xml)((?:;[\w=-]+)*?)(;base64)?,(.*)", re.IGNORECASE | re.DOTALL
)

FORMATS = {"PNG": "png", "JPEG": "jpeg", "GIF": "gif", "WEBP": "webp"}


def picture(address: str) -> str | None:
    """A data: address of a picture, if it holds one that may be shown; else None."""
    match = DATA.fullmatch(address[:LARGEST_PICTURE]) if address[:200].lstrip()[:5].lower() == "data:" else None
    if match is None:
        return None
    kind, _, encoded, body = match.groups()
    if kind.lower() == "svg+xml":
        from urllib.parse import unquote

        return svg(_bytes(body).decode("utf-8", "replace") if encoded else unquote(body))
    return raster(body) if encoded else None


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return b""


def raster(text: Any) -> str | None:
    """The data: address of a picture in base64, of whatever format it really has; None if it is none, or too large."""
    from PIL import Image

    if not isinstance(text, str) or len(text) > LARGEST_PICTURE:
        return None
    data = _bytes(text)
    try:
        with Image.open(io.BytesIO(data), formats=tuple(FORMATS)) as image:  # reads the head only
            kind, (width, height) = FORMATS[image.format or ""], image.size
    except Exception:  # of many kinds, from a decoder that was given anything
        return None
    if not 0 < width * height <= PIXELS:
        return None
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
SHAPES = _words(
    "svg g path rect circle ellipse line polyline polygon text tspan defs clipPath linearGradient radialGradient stop "
    "use symbol title desc image style"
)
DRAWN = _words(
    "id class style x y x1 y1 x2 y2 cx cy r rx ry fx fy d points width height viewBox preserveAspectRatio transform "
    "version fill fill-opacity fill-rule stroke stroke-width stroke-opacity stroke-linecap stroke-linejoin "
    "stroke-dasharray stroke-dashoffset stroke-miterlimit opacity color font-family font-size font-style font-weight "
    "text-anchor dominant-baseline alignment-baseline dx dy rotate textLength clip-path clip-rule clipPathUnits "
    "gradientUnits gradientTransform spreadMethod offset stop-color stop-opacity display visibility"
)
LOCAL = re.compile(r"url\(\s*['\"]?#[\w.:-]{1,200}['\"]?\s*\)")
COPIES = 100_000  # elements that a drawing may have after all <use> are followed


def svg(text: Any) -> str | None:
    """The data: address of a drawing, with nothing in it that moves, runs or points elsewhere; None if it is none."""
    if not isinstance(text, str) or len(text) > LARGEST_PICTURE or "<!ENTITY" in text:
        return None
    try:
        root = ElementTree.fromstring(clean(text).strip())
        if root.tag != f"{SVG}svg":
            return None
        _keep_shapes(root)
        if _elements(root) > COPIES:
            return None
        made = _svg_text(root)
    except (ElementTree.ParseError, RecursionError, ValueError):
        return None
    return f"data:image/svg+xml;base64,{base64.b64encode(made).decode()}"


def _svg_text(root: ElementTree.Element) -> bytes:
    ElementTree.register_namespace("", SVG[1:-1])
    ElementTree.register_namespace("xlink", XLINK[1:-1])
    return ElementTree.tostring(root, encoding="utf-8")


def _keep_shapes(root: ElementTree.Element) -> None:
    """Take out of a drawing what is not on the lists."""
    waiting = [root]
    while waiting:
        element = waiting.pop()
        for name, value in list(element.attrib.items()):
            if name in ("href", f"{XLINK}href"):
                kept = _reference(element.tag, value)
            else:
                kept = value if name in DRAWN and _still(value) else None
            if kept is None:
                del element.attrib[name]
            else:
                element.attrib[name] = kept
        for child in list(element):
            tag = child.tag if isinstance(child.tag, str) else ""
            shape = tag.removeprefix(SVG) if tag.startswith(SVG) else ""
            if shape not in SHAPES or (shape == "style" and (len(child) or not _still(child.text or ""))):
                element.remove(child)
            else:
                waiting.append(child)


def _reference(tag: str, value: str) -> str | None:
    if tag == f"{SVG}image":
        match = DATA.fullmatch(value[:LARGEST_PICTURE])
        return raster(match.group(4)) if match and match.group(3) and match.group(1).lower() != "svg+xml" else None
    return value if re.fullmatch(r"#[\w.:-]{1,200}", value) else None


def _still(value: str) -> bool:
    """Whether a style or attribute of a drawing names no address outside it."""
    rest = LOCAL.sub("", value).lower()
    return not any(bad in rest for bad in ("url", "\\", "@", "<", "expression", "javascript", "image(", "image-set"))


def _elements(root: ElementTree.Element) -> int:
    """How many elements a drawing has if every <use> is replaced by what it names; ValueError for a circle."""
    named = {element.attrib["id"]: element for element in root.iter() if "id" in element.attrib}
    known: dict[int, int] = {}

    def count(element: ElementTree.Element, depth: int) -> int:
        if depth > 200:
            raise ValueError("too deep")
        if id(element) in known:
            return known[id(element)]
        target = element.attrib.get("href") or element.attrib.get(f"{XLINK}href") or ""
        total = 1 + sum(count(child, depth + 1) for child in element)
        if element.tag == f"{SVG}use" and target[1:] in named:
            total += count(named[target[1:]], depth + 1)
        known[id(element)] = total
        return total

    return count(root, 0)


# --------------------------------------------------------------------------------------------- formulas

MATHML = "{http://www.w3.org/1998/Math/MathML}"
MATH = _words(
    "math mrow mi mo mn mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mmultiscripts "
    "mprescripts none mtable mtr mtd menclose mpadded mphantom mstyle"
)
MATH_ATTRIBUTES = _words(
    "display displaystyle scriptlevel mathvariant mathcolor stretchy fence form largeop movablelimits lspace rspace "
    "width height depth voffset linethickness rowspacing columnspacing columnalign rowalign columnlines rowlines frame "
    "notation accent accentunder minsize maxsize separator symmetric columnspan rowspan"
)
MATH_VALUE = re.compile(r"[\w.#%+\- ]{0,60}")
BARE = re.compile(r"&(?!#(?:x[0-9A-Fa-f]{1,6}|\d{1,7});)")


def formula(latex: str, *, block: bool) -> str:
    """LaTeX as MathML; what cannot be converted, or would be more than a formula, as it was written."""
    from course_lib.authoring.html import mathml

    with contextlib.suppress(RecursionError, ElementTree.ParseError, ValueError):
        if len(latex) <= 5000:
            made = mathml(latex, block=block)
            if made.startswith("<math"):
                return _math(ElementTree.fromstring(BARE.sub("&amp;", made)), 0)
    dollars = "$$" if block else "$"
    return f"<code>{dollars}{escaping.escape(cut(latex))}{dollars}</code>"


def _math(element: ElementTree.Element, depth: int) -> str:
    """An element of a formula, written anew. ValueError where it holds something else."""
    tag = element.tag.removeprefix(MATHML)
    if tag not in MATH or depth > 150:
        raise ValueError(tag)
    attributes = ""
    for name, value in element.attrib.items():
        if (name in MATH_ATTRIBUTES and MATH_VALUE.fullmatch(value)) or (name, value) == ("style", "font-weight:bold"):
            attributes += f' {name}="{value}"'
    inside = escaping.escape(element.text or "")
    for child in element:
        inside += _math(child, depth + 1) + escaping.escape(child.tail or "")
    return f"<{tag}{attributes}>{inside}</{tag}>"


# --------------------------------------------------------------------------------------------- Markdown

LARGEST_MARKDOWN = 100_000  # characters
PLACE = re.compile(r'<data value="(\d{1,6})"></data>')


def markdown(source: Any, attachments: Any = None) -> Markup:
    """Markdown as HTML, formulas as MathML, with the same limits as `html`; as it was written where it exceeds them."""
    source = clean(source)
    _renderer()  # what is imported does not count
    if len(source) <= LARGEST_MARKDOWN:
        with contextlib.suppress(TooLong, RecursionError), within(SECONDS):
            made = _markdown(source, _attached(attachments))
            if made is not None:
                return made
    return Markup('<pre class="text">{}</pre>').format(plain(source))


def _attached(attachments: Any) -> dict[str, dict[str, str]]:
    found = attachments if isinstance(attachments, dict) else {}
    return {
        name: {kind: data for kind, data in kinds.items() if isinstance(kind, str) and isinstance(data, str)}
        for name, kinds in found.items()
        if isinstance(name, str) and isinstance(kinds, dict)
    }


def _markdown(source: str, attachments: dict[str, dict[str, str]]) -> Markup | None:
    from nbconvert.filters.markdown_mistune import MarkdownWithMath

    renderer = _renderer()(escape=False, exclude_anchor_links=True, embed_images=False, attachments=attachments)
    made = MarkdownWithMath(renderer=renderer).render(source)
    if not _simple(made):
        return None
    # A formula is put in its place after the rest has been cleaned. In a text and in an attribute nh3 writes the mark
    # of that place with &lt; or &quot;, so what still looks like it is an element, and stands where one may stand.
    formulas = dict(enumerate(renderer.formulas))
    return Markup(
        PLACE.sub(lambda match: formulas.get(int(match[1]), ""), _without_empty_pictures(_cleaner("data").clean(made)))
    )


@functools.cache
def _renderer() -> Any:
    from nbconvert.filters.markdown_mistune import InvalidNotebook, IPythonRenderer

    class Renderer(IPythonRenderer):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.formulas: list[str] = []

        def _place(self, latex: str, block: bool) -> str:
            self.formulas.append(formula(latex, block=block))
            return f'<data value="{len(self.formulas) - 1}"></data>'

        def block_math(self, body: str) -> str:
            return self._place(body, True)

        def inline_math(self, body: str) -> str:
            return self._place(body, False)

        def latex_environment(self, name: str, body: str) -> str:
            return self._place(rf"\begin{{{name}}}{body}\end{{{name}}}", True)

        def image(self, text: str, url: str, title: str | None = None) -> str:
            try:
                return super().image(text, url, title)
            except InvalidNotebook:
                return f"[{escaping.escape(text or 'a picture')}, which is missing]"

    return Renderer
