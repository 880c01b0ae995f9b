//! Several machines side by side, as Markdown and as a page.

use super::columns::Table;
use super::machine_tables::{group_table, machines_table, peaks_table};
use super::machines::{Group, MachineRow, Machines};
use super::markdown;
use super::page::{page, push_list, push_picture, push_table};
use super::pictures::{escaped, machine_rates, machine_shares};
use std::fmt::Write;

const TITLE: &str = "qmill bench on several machines";

/// The machines side by side as a page of GitHub's Markdown, without pictures.
pub fn machines_markdown(machines: &Machines) -> String {
    let mut out = format!("# {TITLE}\n\n");
    for table in tables_of_machines(machines) {
        markdown::push_table(&mut out, &table);
    }
    for group in &machines.groups {
        markdown::push_table(&mut out, &group_table(machines, group));
    }
    out += "## Notes\n\n";
    markdown::push_list(&mut out, notes(machines));
    out
}

/// The machines side by side as a page with pictures. It loads nothing, runs nothing, and follows the
/// reader's choice of a light or dark screen.
pub fn machines_html(machines: &Machines) -> String {
    let mut out = String::new();
    for table in tables_of_machines(machines) {
        push_table(&mut out, &table);
    }
    if !machines.warnings().is_empty() {
        push_list(&mut out, "Warnings", machines.warnings());
    }
    for group in &machines.groups {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "<section>\n<h2>{}</h2>", escaped(&group.heading));
        push_pictures(&mut out, machines, group);
        push_table(&mut out, &group_table(machines, group));
        out.push_str("</section>\n");
    }
    push_list(&mut out, "Columns", columns(machines));
    page(TITLE, env!("CARGO_PKG_VERSION"), &out)
}

/// Pictures of the rows that differ in their first label only; the first is open.
fn push_pictures(out: &mut String, machines: &Machines, group: &Group) {
    for (number, (title, rows)) in alike(group).into_iter().enumerate() {
        let open = if number == 0 { " open" } else { "" };
        let _ = writeln!(out, "<details{open}>\n<summary>{}</summary>", escaped(&title));
        let title = format!("{}, {title}", group.heading);
        push_picture(out, &|width| machine_rates(machines, &rows, (&title, &group.unit), width), "");
        if rows.iter().any(|row| row.figures.iter().flatten().any(|figure| figure.shares.is_some())) {
            push_picture(out, &|width| machine_shares(machines, &rows, &title, width), "");
        }
        out.push_str("</details>\n");
    }
}

/// The rows that differ in their first label only, with a title of their other labels.
fn alike(group: &Group) -> Vec<(String, Vec<&MachineRow>)> {
    let mut found: Vec<(String, Vec<&MachineRow>)> = Vec::new();
    for row in &group.rows {
        let labels = group.headings.iter().zip(&row.labels).skip(1);
        let labels = labels.map(|(heading, label)| format!("{heading} {label}"));
        let title = labels.collect::<Vec<_>>().join(", ");
        match found.iter_mut().find(|(known, _)| *known == title) {
            Some((_, rows)) => rows.push(row),
            None => found.push((title, vec![row])),
        }
    }
    found
}

fn tables_of_machines(machines: &Machines) -> Vec<Table> {
    [machines_table(machines)].into_iter().chain(peaks_table(machines)).collect()
}

fn notes(machines: &Machines) -> Vec<String> {
    let mut notes = machines.warnings();
    notes.extend(columns(machines));
    notes
}

/// The meaning of the columns: sentences.
fn columns(machines: &Machines) -> Vec<String> {
    let figures = || {
        let rows = machines.groups.iter().flat_map(|group| &group.rows);
        rows.flat_map(|row| row.figures.iter().flatten())
    };
    let mut columns = Vec::new();
    if figures().any(|figure| figure.seconds.is_some()) {
        columns.push("µs is the median over repetitions.".to_owned());
    }
    if figures().any(|figure| figure.deviation.is_some()) {
        columns.push("± is one standard deviation over repetitions.".to_owned());
    }
    if figures().any(|figure| figure.shares.is_some()) {
        columns.push(
            "The share is of the nearer limit of the machine itself: its memory, or its arithmetic of the \
             same kind."
                .to_owned(),
        );
    }
    columns
}
