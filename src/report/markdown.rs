//! A report as Markdown.

use super::columns::{Table, notes, paired_table, quality_table, speed_table, summary};
use super::data::Report;
use std::fmt::Write;

/// The report as a page of GitHub's Markdown, without pictures.
pub fn markdown(report: &Report) -> String {
    let mut out = format!("# What {} costs\n\n", escaped(&report.base.file));
    push_list(&mut out, summary(report));
    for table in [quality_table(report), paired_table(report), speed_table(report)] {
        push_table(&mut out, &table);
    }
    out += "## Rules and columns\n\n";
    push_list(&mut out, notes(report));
    out
}

/// A list of sentences.
pub(super) fn push_list(out: &mut String, sentences: Vec<String>) {
    for sentence in sentences {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "- {}", escaped(&sentence));
    }
    out.push('\n');
}

/// A table under its caption.
pub(super) fn push_table(out: &mut String, table: &Table) {
    let _ = writeln!(out, "## {}\n", escaped(&table.caption));
    push_row(out, &table.headings);
    let columns = 0..table.headings.len();
    let lines: Vec<_> = columns.map(|column| if table.is_text(column) { "---" } else { "---:" }).collect();
    let _ = writeln!(out, "|{}|", lines.join("|"));
    for row in &table.rows {
        push_row(out, row);
    }
    out.push('\n');
}

fn push_row(out: &mut String, cells: &[String]) {
    let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

/// Names come from files: no character of them may end a cell or begin an element.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '|' | '\\' | '*' | '_' | '[' | ']' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}
