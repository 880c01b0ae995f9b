//! Rates and shares of several machines, as bars.

use super::bars::{Bar, Bars, bars};
use super::canvas::{ACCENT, FOURTH, SECOND, THIRD};
use crate::report::machine_tables::{rate, share};
use crate::report::machines::{Figure, MachineRow, Machines};
use plotters::prelude::RGBColor;

/// The colours of the machines, in turns; the letters say which is which.
const COLOURS: [RGBColor; 4] = [ACCENT, SECOND, THIRD, FOURTH];

/// Rates of the rows by machine, on a common scale. `title` is what was measured, and the unit; `width`
/// pixels wide.
pub fn machine_rates(
    machines: &Machines,
    rows: &[&MachineRow],
    (title, unit): (&str, &str),
    width: u32,
) -> String {
    let figures = || rows.iter().flat_map(|row| row.figures.iter().flatten());
    let most = figures().map(|figure| figure.rate).fold(f64::MIN_POSITIVE, f64::max);
    let shown = |figure: &Figure| Some((figure.rate / most, rate(figure)));
    draw(machines, rows, &format!("{title}: {unit}"), &shown, width)
}

/// Shares of the nearer limit by machine; the whole width is all of it.
pub fn machine_shares(machines: &Machines, rows: &[&MachineRow], title: &str, width: u32) -> String {
    let shown = |figure: &Figure| Some((figure.nearest_limit()?.0, share(figure)?));
    draw(machines, rows, &format!("{title}: share of peak"), &shown, width)
}

fn draw(
    machines: &Machines,
    rows: &[&MachineRow],
    title: &str,
    shown: &dyn Fn(&Figure) -> Option<(f64, String)>,
    width: u32,
) -> String {
    let groups = rows.iter().map(|row| {
        let figures = row.figures.iter().enumerate();
        let bars = figures.filter_map(|(number, figure)| {
            let (fraction, text) = shown(figure.as_ref()?)?;
            let colour = COLOURS[number % COLOURS.len()];
            Some(Bar { letter: Machines::letter(number), colour, fraction, text })
        });
        Bars { name: row.labels.first().cloned().unwrap_or_default(), bars: bars.collect() }
    });
    let legend = machines.machines.iter().enumerate();
    let legend = legend.map(|(number, machine)| {
        (format!("{}  {}", Machines::letter(number), machine.name), COLOURS[number % COLOURS.len()])
    });
    bars(title, &legend.collect::<Vec<_>>(), &groups.collect::<Vec<_>>(), width)
}
