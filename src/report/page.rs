//! The parts of HTML pages that need nothing else: no script, no file, no network.

use super::columns::Table;
use super::pictures::{COLOURS, escaped, within_page};
use std::fmt::Write;

/// Widths of a picture for a wide screen and for a narrow one; the page shows one of them.
const WIDE: u32 = 1040;
const NARROW: u32 = 344;

const STYLE: &str = include_str!("page.css");

/// A page with a title and the version of qmill around a body.
pub(super) fn page(title: &str, version: &str, body: &str) -> String {
    let (title, version) = (escaped(title), escaped(version));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{COLOURS}\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}\
         <p class=\"quiet\">qmill {version}</p>\n</main>\n</body>\n</html>\n"
    )
}

/// A section with a picture; `draw` takes a width in pixels.
pub(super) fn push_figure(out: &mut String, heading: &str, caption: &str, draw: &dyn Fn(u32) -> String) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "<section>\n<h2>{}</h2>", escaped(heading));
    push_picture(out, draw, caption);
    out.push_str("</section>\n");
}

/// A picture for wide and for narrow screens, with what is said below it.
pub(super) fn push_picture(out: &mut String, draw: &dyn Fn(u32) -> String, caption: &str) {
    let _ = writeln!(
        out,
        "<figure>\n<div class=\"wide\">{}</div>\n<div class=\"narrow\">{}</div>",
        within_page(&draw(WIDE)),
        within_page(&draw(NARROW)),
    );
    if !caption.is_empty() {
        let _ = writeln!(out, "<figcaption>{}</figcaption>", escaped(caption));
    }
    out.push_str("</figure>\n");
}

/// A table that scrolls within itself where the screen is too narrow.
pub(super) fn push_table(out: &mut String, table: &Table) {
    let caption = escaped(&table.caption);
    let _ = writeln!(
        out,
        "<div class=\"scroll\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\">\n<table>\n\
         <caption>{caption}</caption>\n<thead>\n<tr>"
    );
    let class = |column: usize| if table.is_text(column) { " class=\"text\"" } else { "" };
    for (column, heading) in table.headings.iter().enumerate() {
        let _ = write!(out, "<th scope=\"col\"{}>{}</th>", class(column), escaped(heading));
    }
    out.push_str("</tr>\n</thead>\n<tbody>\n");
    for row in &table.rows {
        out.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let cell = escaped(cell);
            let _ = match column {
                0 => write!(out, "<th scope=\"row\" class=\"text\">{cell}</th>"),
                _ => write!(out, "<td{}>{cell}</td>", class(column)),
            };
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}

/// A section with a list.
pub(super) fn push_list(out: &mut String, heading: &str, sentences: Vec<String>) {
    let _ = writeln!(out, "<section>\n<h2>{}</h2>\n<ul>", escaped(heading));
    for sentence in sentences {
        let _ = writeln!(out, "<li>{}</li>", escaped(&sentence));
    }
    out.push_str("</ul>\n</section>\n");
}
