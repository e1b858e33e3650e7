"""What stands where on the page: one module a tab, and what they share.

Only this package and `app.py` know Gradio, which reads two settings when it is imported: they are
made here, before any module below can import it.
"""

from __future__ import annotations

import os

from captioner.ui import uploads

FOLDER = uploads.claim()
"""The page's own folder, where Gradio keeps files, too."""

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ[uploads.VARIABLE] = str(FOLDER)
