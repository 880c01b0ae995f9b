//! What pictures have in common: colours, texts, and the SVG around them.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Stand-ins for the variables of CSS that [`finish`] puts in their place.
pub(super) const INK: RGBColor = RGBColor(1, 2, 3);
pub(super) const GRID: RGBColor = RGBColor(1, 2, 4);
pub(super) const ACCENT: RGBColor = RGBColor(1, 2, 5);
pub(super) const SECOND: RGBColor = RGBColor(1, 2, 6);
pub(super) const MUTED: RGBColor = RGBColor(1, 2, 7);
pub(super) const THIRD: RGBColor = RGBColor(1, 2, 8);
pub(super) const FOURTH: RGBColor = RGBColor(1, 2, 9);

const VARIABLES: [(RGBColor, &str); 7] = [
    (INK, "--ink"),
    (GRID, "--grid"),
    (ACCENT, "--accent"),
    (SECOND, "--second"),
    (MUTED, "--muted"),
    (THIRD, "--third"),
    (FOURTH, "--fourth"),
];

/// The colours on a light and on a dark background.
pub(in crate::report) const COLOURS: &str = "\
:root{--paper:#ffffff;--ink:#1b1f24;--muted:#57606a;--grid:#d8dee4;--accent:#0550ae;--second:#bc4c00;\
--third:#1a7f37;--fourth:#8250df}\
@media(prefers-color-scheme:dark){\
:root{--paper:#0f1419;--ink:#e6edf3;--muted:#9aa5b1;--grid:#2d3640;--accent:#6cb6ff;--second:#f0883e;\
--third:#57ab5a;--fourth:#b083f0}}";

/// Before and after the colours of a picture that stands alone.
const STYLE_START: &str = "<style>";
const STYLE_END: &str = "svg{background:var(--paper)}</style>";

/// The font size of texts, in pixels.
pub(super) const FONT: i32 = 12;

/// What is drawn on.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws an SVG of this size, with a title and a description for those who do not see it.
pub(super) fn picture(
    (width, height): (u32, u32),
    title: &str,
    description: &str,
    draw: impl FnOnce(&Area) -> Result<(), DrawingAreaErrorKind<std::io::Error>>,
) -> String {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        // A string takes everything; a figure that cannot be drawn leaves the picture as it is.
        let _ = draw(&area).and_then(|()| area.present());
    }
    finish(&svg, title, description)
}

/// Puts variables in the place of colours, and names the picture.
fn finish(svg: &str, title: &str, description: &str) -> String {
    let mut svg = svg.to_owned();
    for (RGBColor(red, green, blue), name) in VARIABLES {
        svg = svg.replace(&format!("\"#{red:02X}{green:02X}{blue:02X}\""), &format!("\"var({name})\""));
    }
    let head = format!(
        " role=\"img\"><title>{}</title><desc>{}</desc>{STYLE_START}{COLOURS}{STYLE_END}",
        escaped(title),
        escaped(description)
    );
    svg.replacen('>', &head, 1)
}

/// A picture for a page that has the colours.
pub(in crate::report) fn within_page(svg: &str) -> String {
    svg.replacen(&format!("{STYLE_START}{COLOURS}{STYLE_END}"), "", 1)
}

/// A text for XML and HTML.
pub(in crate::report) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML has no other control characters.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// The style of a text, anchored at a point of its box.
pub(super) fn text_style(colour: RGBColor, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    // plotters divides the size by 1.24.
    let font = ("system-ui, sans-serif", f64::from(FONT) * 1.24).into_font();
    TextStyle {
        color: colour.to_backend_color(),
        pos: Pos::new(horizontal, vertical),
        ..TextStyle::from(font)
    }
}

/// About how wide a text is, in pixels.
pub(super) fn text_width(text: &str) -> i32 {
    (text.chars().count() as f64 * f64::from(FONT) * 0.58).ceil() as i32
}

/// As much of a text as fits into so many pixels.
pub(super) fn cut(text: &str, width: i32) -> String {
    if text_width(text) <= width {
        return text.to_owned();
    }
    let most = (f64::from(width.max(0)) / (f64::from(FONT) * 0.58)) as usize;
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// `0.012`, `3.4e-6`: a number on an axis, without trailing zeros.
pub(super) fn tick(number: f64) -> String {
    if number != 0.0 && number.abs() < 9.5e-4 {
        return format!("{number:.0e}");
    }
    format!("{number:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
}
