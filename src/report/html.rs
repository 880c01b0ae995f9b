//! A report as one HTML page that needs nothing else.

use super::best::best;
use super::columns::{notes, paired_table, quality_table, size, speed_table, summary};
use super::data::{Report, Row};
use super::page::{page, push_figure, push_list, push_picture, push_table};
use super::pictures::{escaped, frontier, layers, rates};
use std::fmt::Write;

/// The report as a page with pictures. It loads nothing, runs nothing, and follows the reader's choice of a
/// light or dark screen.
pub fn html(report: &Report) -> String {
    let mut out = String::new();
    push_choices(&mut out, report);
    push_figure(
        &mut out,
        "Loss against size",
        "Lower and further left is better. The line is the frontier: no type has both a smaller file and \
         less loss than one on it. Vertical bars are standard errors over chunks.",
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
    page(&format!("What {} costs", report.base.file), &report.qmill, &out)
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

/// The error by layer and role of each type; the first rule's choice is open, or else the first type.
fn push_layers(out: &mut String, report: &Report) {
    out.push_str("<section>\n<h2>Error by layer and role</h2>\n");
    let chosen = best(report).first().and_then(|rule| Some(&report.rows[rule.row?]));
    let chosen = chosen.or(report.types().next()).map(|row| &row.name);
    for row in report.types() {
        let Some(error) = &row.error else { continue };
        let total =
            error.sqnr_db.map_or_else(|| "no error".to_owned(), |sqnr| format!("{sqnr:.2} dB in all"));
        let title = format!("Error of {} by layer and role", row.name);
        let open = if Some(&row.name) == chosen { " open" } else { "" };
        let _ = writeln!(out, "<details{open}>\n<summary>{}, {total}</summary>", escaped(&row.name));
        push_picture(out, &|width| layers(&error.tensors, &title, width), "");
        out.push_str("</details>\n");
    }
    out.push_str("</section>\n");
}
