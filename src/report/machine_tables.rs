//! The tables of several machines, as cells.

use super::columns::{NONE, Table, or_none};
use super::machines::{Figure, Group, MachinePeak, Machines};

/// The machines and what is known of them.
pub(super) fn machines_table(machines: &Machines) -> Table {
    let mut headings = vec!["machine".to_owned(), "device".to_owned()];
    headings.extend(
        machines
            .machines
            .first()
            .into_iter()
            .flat_map(|machine| &machine.facts)
            .map(|(name, _)| name.clone()),
    );
    let rows = machines.machines.iter().enumerate().map(|(number, machine)| {
        let facts = machine.facts.iter().map(|(_, fact)| fact.clone());
        let facts = facts.map(|fact| if fact.is_empty() { NONE.to_owned() } else { fact });
        [Machines::letter(number), machine.name.clone()].into_iter().chain(facts).collect()
    });
    Table { caption: "Machines".to_owned(), headings, rows: rows.collect() }
}

/// The peaks of the machines, before and after the other measurements; `None` if no machine has any.
pub(super) fn peaks_table(machines: &Machines) -> Option<Table> {
    let mut kinds: Vec<&MachinePeak> = Vec::new();
    for peak in machines.machines.iter().flat_map(|machine| &machine.peaks) {
        if !kinds.iter().any(|known| known.name == peak.name) {
            kinds.push(peak);
        }
    }
    if kinds.is_empty() {
        return None;
    }
    let heading = |peak: &&MachinePeak| format!("{} {}", peak.name, peak.unit);
    let headings = ["machine".to_owned()].into_iter().chain(kinds.iter().map(heading)).collect();
    let rows = machines.machines.iter().enumerate().map(|(number, machine)| {
        let cell = |kind: &&MachinePeak| {
            let peak = machine.peaks.iter().find(|peak| peak.name == kind.name);
            or_none(peak, |peak| {
                let after = peak.after.map_or_else(String::new, |after| format!(" → {after:.1}"));
                format!("{:.1}{after}{}", peak.before, if peak.has_moved() { " !" } else { "" })
            })
        };
        [Machines::letter(number)].into_iter().chain(kinds.iter().map(cell)).collect()
    });
    Some(Table { caption: "Peaks, before → after".to_owned(), headings, rows: rows.collect() })
}

/// A group's rows, with columns for each machine.
pub(super) fn group_table(machines: &Machines, group: &Group) -> Table {
    let figures = || group.rows.iter().flat_map(|row| row.figures.iter().flatten());
    let has_times = figures().any(|figure| figure.seconds.is_some());
    let has_shares = figures().any(|figure| figure.shares.is_some());
    let mut headings = group.headings.clone();
    for letter in (0..machines.machines.len()).map(Machines::letter) {
        headings.extend(has_times.then(|| format!("{letter}: µs")));
        headings.push(format!("{letter}: {}", group.unit));
        headings.extend(has_shares.then(|| format!("{letter}: share of peak")));
    }
    let rows = group.rows.iter().map(|row| {
        let mut cells = row.labels.clone();
        for figure in &row.figures {
            let figure = figure.as_ref();
            if has_times {
                let seconds = figure.and_then(|figure| figure.seconds);
                cells.push(or_none(seconds, |seconds| format!("{:.1}", seconds * 1e6)));
            }
            cells.push(or_none(figure, rate));
            if has_shares {
                cells.push(or_none(figure.and_then(share), |share| share));
            }
        }
        cells
    });
    Table { caption: format!("{}: figures", group.heading), headings, rows: rows.collect() }
}

/// `123.4 ± 1.2`, or without a deviation `123.4`.
pub(super) fn rate(figure: &Figure) -> String {
    let digits = if figure.rate < 1.0 { 3 } else { 1 };
    let deviation = figure.deviation.map_or_else(String::new, |deviation| format!(" ± {deviation:.digits$}"));
    format!("{:.digits$}{deviation}", figure.rate)
}

/// `71.2 % memory`, with a mark above 100 %.
pub(super) fn share(figure: &Figure) -> Option<String> {
    let (share, of) = figure.nearest_limit()?;
    Some(format!("{:.1} % {of}{}", 100.0 * share, if share > 1.0 { " !" } else { "" }))
}
