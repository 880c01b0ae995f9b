//! A report as one HTML page that needs nothing else.

use super::best::best;
use super::columns::{Table, notes, paired_table, quality_table, size, speed_table, summary};
use super::data::{Report, Row};
use super::pictures::{COLOURS, escaped, frontier, layers, rates};
use std::fmt::Write;

/// Widths of the pictures on a wide screen and on a narrow one.
const WIDE: u32 = 860;
const NARROW: u32 = 344;

const STYLE: &str = include_str!("page.css");

/// The report as a page with pictures. It loads nothing, runs nothing, and follows the reader's choice of a
/// light or dark screen.
pub fn html(report: &Report) -> String {
    let title = format!("What {} costs", report.base.file);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{0}</title>\n\
         <style>\n{COLOURS}\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{0}</h1>\n",
        escaped(&title)
    );
    push_choices(&mut out, report);
    push_figure(
        &mut out,
        "Loss against size",
        "Lower and further left is better. The line is the frontier: no type has both a smaller file and less \
         loss than one on it. Vertical bars are standard errors over chunks.",
        &|width| frontier(report, width),
    );
    push_table(&mut out, &quality_table(report));
    push_table(&mut out, &paired_table(report));
    if report.cases.is_some() {
        let caption = "The mean over repetitions, and its standard deviation. Each group has its own scale.";
        push_figure(&mut out, "Speed", caption, &|width| rates(report, width));
    }
    push_table(&mut out, &speed_table(report));
    push_layers(&mut out, report);
    push_list(&mut out, "Rules and columns", notes(report));
    push_list(&mut out, "What was measured", summary(report));
    let _ =
        writeln!(out, "<p class=\"quiet\">qmill {}</p>\n</main>\n</body>\n</html>", escaped(&report.qmill));
    out
}

/// The rules' choices, as cards.
fn push_choices(out: &mut String, report: &Report) {
    out.push_str("<section aria-label=\"Best for\">\n<ul class=\"cards\">\n");
    for rule in best(report) {
        let Some(row) = rule.row.map(|row| &report.rows[row]) else { continue };
        let facts = facts(row);
        let (word, name) = (escaped(&rule.word), escaped(&row.name));
        let _ = writeln!(
            out,
            "<li><span class=\"quiet\">best for {word}</span><strong>{name}</strong><span>{facts}</span></li>"
        );
    }
    out.push_str("</ul>\n</section>\n");
}

fn facts(row: &Row) -> String {
    format!("{}, perplexity {:.3}", size(row.file_bytes), row.quality.perplexity.value)
}

fn push_figure(out: &mut String, heading: &str, caption: &str, draw: &dyn Fn(u32) -> String) {
    let _ = writeln!(
        out,
        "<section>\n<h2>{}</h2>\n<figure>\n<div class=\"wide\">{}</div>\n<div class=\"narrow\">{}</div>\n\
         <figcaption>{}</figcaption>\n</figure>\n</section>",
        escaped(heading),
        draw(WIDE),
        draw(NARROW),
        escaped(caption)
    );
}

/// The error by layer and role of each type; the first with an error is open.
fn push_layers(out: &mut String, report: &Report) {
    out.push_str("<section>\n<h2>Error by layer and role</h2>\n");
    let mut open = " open";
    for row in report.types() {
        let Some(error) = &row.error else { continue };
        let total =
            error.sqnr_db.map_or_else(|| "no error".to_owned(), |sqnr| format!("{sqnr:.2} dB in all"));
        let title = format!("Error of {} by layer and role", row.name);
        let _ = writeln!(
            out,
            "<details{open}>\n<summary>{}, {total}</summary>\n<figure>\n<div class=\"wide\">{}</div>\n\
             <div class=\"narrow\">{}</div>\n</figure>\n</details>",
            escaped(&row.name),
            layers(&error.tensors, &title, WIDE),
            layers(&error.tensors, &title, NARROW)
        );
        open = "";
    }
    out.push_str("</section>\n");
}

fn push_table(out: &mut String, table: &Table) {
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

fn push_list(out: &mut String, heading: &str, sentences: Vec<String>) {
    let _ = writeln!(out, "<section>\n<h2>{}</h2>\n<ul>", escaped(heading));
    for sentence in sentences {
        let _ = writeln!(out, "<li>{}</li>", escaped(&sentence));
    }
    out.push_str("</ul>\n</section>\n");
}
