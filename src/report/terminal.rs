//! A report on a terminal.

use super::columns::{Table, notes, paired_table, quality_table, speed_table, summary};
use super::data::Report;
use std::fmt::Write;

/// The report as aligned text.
pub fn terminal_table(report: &Report) -> String {
    let mut out = String::new();
    for line in summary(report) {
        push(&mut out, &line);
    }
    for table in [quality_table(report), paired_table(report), speed_table(report)] {
        out.push('\n');
        push_table(&mut out, &table);
    }
    out.push('\n');
    for note in notes(report) {
        push(&mut out, &note);
    }
    out
}

fn push(out: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{line}");
}

fn push_table(out: &mut String, table: &Table) {
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = (0..table.headings.len())
        .map(|column| {
            let cells = table.rows.iter().map(|row| width(&row[column]));
            cells.chain([width(&table.headings[column])]).max().unwrap_or(0)
        })
        .collect();
    push(out, &format!("{}:", table.caption));
    for row in std::iter::once(&table.headings).chain(&table.rows) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - width(cell));
            if table.is_text(column) {
                line.extend([cell, &*padding, "  "]);
            } else {
                line.extend([&*padding, cell, "  "]);
            }
        }
        push(out, line.trim_end());
    }
}
