"""A viewer alone, in a page without a server: one page load, whatever values it is shown."""

from __future__ import annotations

import json
from typing import Any

from captioner.ui import assets, exports

_PAGE = """<!doctype html>
<html lang="%s"><head><meta charset="utf-8"><title>viewer</title><style>%s
%s</style></head>
<body><main><h1>viewer</h1><div id="root">%s</div></main>
<script>
window.told = [];
window.props = {value: {}};
window.watchers = [];
(function (element, props, trigger, watch) {
%s
})(document.getElementById("root"), window.props, (name, data) => window.told.push([name, data]),
   (name, act) => window.watchers.push(act));
window.show = (value) => { window.props.value = value; window.watchers.forEach((act) => act()); };
</script></body></html>
"""


class Alone:
    """A viewer in a browser's page."""

    def __init__(self, context: Any, viewer: str, language: str = "en") -> None:
        self.page, self.viewer = context.new_page(), viewer
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.set_content(
            _PAGE
            % (
                language,
                exports.COLOURS,
                assets.style(viewer),
                assets.markup(viewer),
                assets.script(viewer),
            )
        )

    def show(self, value: Any) -> None:
        """Shows a value."""
        self.page.evaluate("value => window.show(value)", json.loads(json.dumps(value)))

    def told(self) -> list[Any]:
        """What the viewer would have told the server since it was asked last."""
        found: list[Any] = self.page.evaluate("window.told.splice(0)")
        return found
