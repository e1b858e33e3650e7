from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.errors import ImageError
from captioner.pictures.xmp import ALT_TEXT, DESCRIPTION, texts_of, with_texts, written_by_us

# As Lightroom and digiKam write them: properties as attributes and as elements, others' namespaces.
LIGHTROOM = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/" xmp:Rating="5" crs:Exposure2012="+0.35">
   <dc:subject><rdf:Bag><rdf:li>Oma &amp; Opa</rdf:li></rdf:Bag></dc:subject>
   <dc:description><rdf:Alt>
     <rdf:li xml:lang="x-default">Grandma's garden</rdf:li>
     <rdf:li xml:lang="de-DE">Omas Garten</rdf:li>
   </rdf:Alt></dc:description>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>""".encode()


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), min_size=1))
def test_texts_come_back(text: str) -> None:
    packet = with_texts(None, {DESCRIPTION: text, ALT_TEXT: "x"})
    assert texts_of(packet) == {
        name: value for name, value in ((DESCRIPTION, text.strip()), (ALT_TEXT, "x")) if value
    }
    ElementTree.fromstring(packet.decode())  # well-formed, packet marks and all


def test_what_xml_cannot_hold_is_left_out() -> None:
    assert texts_of(with_texts(None, {DESCRIPTION: "a\0\x1b dog\ufffe"})) == {DESCRIPTION: "a dog"}


def test_nothing_else_of_a_packet_changes() -> None:
    assert texts_of(LIGHTROOM) == {DESCRIPTION: "Grandma's garden"}
    changed = with_texts(LIGHTROOM, {DESCRIPTION: "A garden.", ALT_TEXT: "A garden."})
    text = changed.decode()
    for part in (
        'xmp:Rating="5"',
        'crs:Exposure2012="+0.35"',
        "<rdf:li>Oma &amp; Opa</rdf:li>",
        '<rdf:li xml:lang="de-DE">Omas Garten</rdf:li>',
        '<rdf:li xml:lang="x-default">A garden.</rdf:li>',
        'x:xmptk="Adobe XMP Core 7.0"',
    ):
        assert part in text
    assert "Grandma" not in text
    assert texts_of(changed) == {DESCRIPTION: "A garden.", ALT_TEXT: "A garden."}


def test_a_text_as_an_attribute_is_found_and_replaced() -> None:
    attribute = LIGHTROOM.replace(b'xmp:Rating="5"', b'dc:description="short" xmp:Rating="5"')
    assert texts_of(attribute) == {DESCRIPTION: "short"}
    assert texts_of(with_texts(attribute, {DESCRIPTION: "new"})) == {DESCRIPTION: "new"}


def test_what_a_person_changed_is_no_longer_ours() -> None:
    packet = with_texts(LIGHTROOM, {ALT_TEXT: "A dog."})
    assert written_by_us(packet, ALT_TEXT)
    assert not written_by_us(packet, DESCRIPTION)
    assert not written_by_us(packet.replace(b"A dog.", b"Our Rex."), ALT_TEXT)
    assert not written_by_us(None, ALT_TEXT)


def test_a_second_text_takes_the_place_of_the_first() -> None:
    once = with_texts(LIGHTROOM, {DESCRIPTION: "one"})
    twice = with_texts(once, {DESCRIPTION: "two"})
    assert twice == with_texts(LIGHTROOM, {DESCRIPTION: "two"})


@pytest.mark.parametrize(
    ("packet", "message"),
    [
        (b"<x:xmpmeta", "its XMP is broken "),
        (b"<html/>", "its XMP is none: there is no x:xmpmeta; remove the XMP first"),
        (b"words", "its XMP is broken "),
        (
            b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x:xmpmeta xmlns:x="adobe:ns:meta/">&a;</x:xmpmeta>',
            "its XMP has a document type, which no XMP has; remove the XMP first",
        ),
        ("<x>é".encode("utf-16"), "its XMP is broken "),
    ],
)
def test_what_is_no_xmp_is_refused(packet: bytes, message: str) -> None:
    for ask in (texts_of, lambda p: with_texts(p, {DESCRIPTION: "x"})):
        with pytest.raises(ImageError) as error:
            ask(packet)
        assert str(error.value).startswith(message)
        assert "\n" not in str(error.value)
