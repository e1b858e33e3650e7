"""How the page looks: calm, one accent, greys without a tint, the system's own fonts."""

from __future__ import annotations

import gradio as gr


def calm() -> gr.themes.Base:
    """Gradio's own look with other colours and no shadows."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans KR", "sans-serif"]
    return gr.themes.Base(
        primary_hue=gr.themes.colors.amber,
        neutral_hue=gr.themes.colors.zinc,
        font=fonts,
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
        radius_size=gr.themes.sizes.radius_lg,
    ).set(
        color_accent="#b45309",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_label_text_color="*neutral_700",
        block_title_text_weight="500",
        block_shadow="none",
        button_primary_background_fill="#b45309",
        button_primary_background_fill_hover="#92400e",
        button_primary_background_fill_dark="#b45309",
        button_primary_background_fill_hover_dark="#92400e",
        button_primary_text_color="white",
        button_primary_border_color="#b45309",
        button_primary_border_color_dark="#b45309",
        button_secondary_background_fill="*background_fill_primary",
        button_secondary_background_fill_dark="*background_fill_primary",
        button_secondary_border_color="*border_color_primary",
        button_border_width="1px",
        link_text_color="#92400e",
        link_text_color_dark="#fbbf24",
    )
