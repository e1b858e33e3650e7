"""XMP packets: what a photo shows, in words, as image managers and screen readers look for it.

Two properties are read and written, `dc:description` and `Iptc4xmpCore:AltTextAccessibility`; all
else in a packet stays. A text that captioner wrote is known by a digest of it in a namespace of its
own: once a person changes the text, it is theirs.

Sources: ISO 16684-1 (XMP), section 7; IPTC Photo Metadata Standard 2021.1, Alt Text.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from xml.etree import ElementTree

from captioner.errors import ImageError

DESCRIPTION, ALT_TEXT = "description", "alt_text"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_META = "adobe:ns:meta/"
_OWN = "urn:captioner:xmp:1"
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_PROPERTIES = {
    DESCRIPTION: "{http://purl.org/dc/elements/1.1/}description",
    ALT_TEXT: "{http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/}AltTextAccessibility",
}
_PREFIXES = {
    "x": _META,
    "rdf": _RDF,
    "dc": "http://purl.org/dc/elements/1.1/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "captioner": _OWN,
}
_BEGIN = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_END = '\n<?xpacket end="w"?>'
_UNSPEAKABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0


def texts_of(packet: bytes | None) -> dict[str, str]:
    """The texts in a packet by `DESCRIPTION` and `ALT_TEXT`; those that are not empty.

    Raises:
        ImageError: it is no XMP.
    """
    root = _parsed(packet)[0] if packet else None
    if root is None:
        return {}
    found = {}
    for name, tag in _PROPERTIES.items():
        text = _text(root, tag)
        if text:
            found[name] = text
    return found


def written_by_us(packet: bytes | None, name: str) -> bool:
    """Whether the text of a property is as captioner wrote it.

    Raises:
        ImageError: it is no XMP.
    """
    text = texts_of(packet).get(name)
    if packet is None or text is None:
        return False
    root = _parsed(packet)[0]
    marks = {node.get(_mark(name)) for node in root.iter(f"{{{_RDF}}}Description")}
    return _digest(text) in marks


def with_texts(packet: bytes | None, texts: Mapping[str, str]) -> bytes:
    """The packet with these texts in it, or a new one; nothing else of it is changed.

    Args:
        packet: of a photo or a sidecar; None where there is none.
        texts: by `DESCRIPTION` and `ALT_TEXT`.

    Raises:
        ImageError: the packet is no XMP.
    """
    if packet:
        root, prefixes = _parsed(packet)
    else:
        root, prefixes = ElementTree.Element(f"{{{_META}}}xmpmeta"), {}
    rdf = root if root.tag == f"{{{_RDF}}}RDF" else root.find(f"{{{_RDF}}}RDF")
    if rdf is None:
        rdf = ElementTree.SubElement(root, f"{{{_RDF}}}RDF")
    home = rdf.find(f"{{{_RDF}}}Description")
    if home is None:
        home = ElementTree.SubElement(rdf, f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""})
    for name, text in texts.items():
        plain = _UNSPEAKABLE.sub("", text)
        _put(rdf, home, _PROPERTIES[name], plain)
        for node in rdf.findall(f"{{{_RDF}}}Description"):
            node.attrib.pop(_mark(name), None)
        home.set(_mark(name), _digest(plain))
    return _serialised(root, prefixes)


def _mark(name: str) -> str:
    """The attribute that holds the digest of a text of ours."""
    return f"{{{_OWN}}}wrote_{name}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _text(root: ElementTree.Element, tag: str) -> str:
    """The default language's text of a property, which may stand in an attribute, too."""
    for node in root.iter(f"{{{_RDF}}}Description"):
        if node.get(tag, "").strip():
            return node.get(tag, "").strip()
        for own in node.findall(tag):
            items = list(own.iter(f"{{{_RDF}}}li"))
            best = [item for item in items if item.get(_LANG) == "x-default"] or items or [own]
            if text := (best[0].text or "").strip():
                return text
    return ""


def _put(rdf: ElementTree.Element, home: ElementTree.Element, tag: str, text: str) -> None:
    """Puts a text where the property stands, as its default language, or into `home`."""
    for node in rdf.findall(f"{{{_RDF}}}Description"):
        node.attrib.pop(tag, None)
        for own in node.findall(tag):
            for item in own.iter(f"{{{_RDF}}}li"):
                if item.get(_LANG) == "x-default":
                    item.text = text
                    return
            node.remove(own)
    alternatives = ElementTree.SubElement(ElementTree.SubElement(home, tag), f"{{{_RDF}}}Alt")
    ElementTree.SubElement(alternatives, f"{{{_RDF}}}li", {_LANG: "x-default"}).text = text


def _parsed(packet: bytes) -> tuple[ElementTree.Element, dict[str, str]]:
    """The tree of a packet, and the prefixes that it gives to namespaces."""
    if b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:  # a packet has none; entities may explode
        raise ImageError("its XMP has a document type, which no XMP has; remove the XMP first")
    start, end = packet.find(b"<"), packet.rfind(b">")
    prefixes: dict[str, str] = {}
    root = None
    try:
        for event, value in ElementTree.iterparse(
            io.BytesIO(packet[max(start, 0) : end + 1]), ("start-ns", "end")
        ):
            if event == "start-ns":
                prefixes[value[0]] = value[1]
            else:
                root = value
    except (ElementTree.ParseError, ValueError) as error:
        raise ImageError(f"its XMP is broken ({error}); remove the XMP first") from None
    if root is None or root.tag not in (f"{{{_META}}}xmpmeta", f"{{{_RDF}}}RDF"):
        raise ImageError("its XMP is none: there is no x:xmpmeta; remove the XMP first")
    return root, prefixes


def _serialised(root: ElementTree.Element, prefixes: Mapping[str, str]) -> bytes:
    """The packet, each namespace under the prefix that it had."""
    used = {space: prefix for prefix, space in {**_PREFIXES, **prefixes}.items() if prefix}
    names: dict[str, str] = {}

    def qualified(name: str) -> str:
        space, _, local = name[1:].rpartition("}") if name.startswith("{") else ("", "", name)
        if not space:
            return local
        if space == "http://www.w3.org/XML/1998/namespace":
            return f"xml:{local}"
        prefix = names.setdefault(space, used.get(space) or f"ns{len(names)}")
        return f"{prefix}:{local}"

    for node in root.iter():
        node.tag = qualified(node.tag)
        node.attrib = {qualified(key): value for key, value in node.attrib.items()}
    for space, prefix in names.items():
        root.set(f"xmlns:{prefix}", space)
    text = ElementTree.tostring(root, encoding="unicode")
    return f"{_BEGIN}{text}{_END}".encode()
