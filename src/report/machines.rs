//! Measurements of several machines side by side.

use crate::bench::{Peaks, Shares};

/// What several machines took for the same work.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Machines {
    /// The machines; a device of a computer is one.
    pub machines: Vec<Machine>,
    /// The tables.
    pub groups: Vec<Group>,
}

/// A machine.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Machine {
    /// The device, as its records name it.
    pub name: String,
    /// What else is known, each with a heading, such as `driver`. All machines have the same headings.
    pub facts: Vec<(String, String)>,
    /// Its limits, if they were measured.
    pub peaks: Vec<MachinePeak>,
}

/// A limit of a device, before and after the other measurements.
#[derive(Clone, PartialEq, Debug)]
pub struct MachinePeak {
    /// Its name, such as `read`.
    pub name: String,
    /// Its unit, such as `GB/s`.
    pub unit: String,
    /// Before the other measurements.
    pub before: f64,
    /// After them, if it was measured again.
    pub after: Option<f64>,
}

/// A kind of work, such as an operation.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Group {
    /// What it is called.
    pub heading: String,
    /// The unit of rates.
    pub unit: String,
    /// The headings of the labels. The first is what the bars of a picture differ by.
    pub headings: Vec<String>,
    /// The rows, in the order of the table.
    pub rows: Vec<MachineRow>,
}

/// One piece of work.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct MachineRow {
    /// A label for each heading.
    pub labels: Vec<String>,
    /// A figure for each machine; `None` where it has none.
    pub figures: Vec<Option<Figure>>,
}

/// What a machine took.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Figure {
    /// Seconds; `None` if the rate says it all.
    pub seconds: Option<f64>,
    /// The rate, in the group's unit.
    pub rate: f64,
    /// The rate's standard deviation over repetitions.
    pub deviation: Option<f64>,
    /// What it reaches of the device's limits.
    pub shares: Option<Shares>,
}

impl MachinePeak {
    /// Whether it has moved so far that the machine cannot have been idle.
    pub fn has_moved(&self) -> bool {
        self.after.is_some_and(|after| (after / self.before - 1.0).abs() > Peaks::STEADY)
    }
}

impl Figure {
    /// The larger of the shares, and what it is of: the limit that is nearer.
    pub fn nearest_limit(&self) -> Option<(f64, &'static str)> {
        let Shares { memory, compute } = self.shares?;
        match compute {
            Some(compute) if compute > memory => Some((compute, "compute")),
            _ => Some((memory, "memory")),
        }
    }
}

impl Machines {
    /// The letter that stands for a machine in tables and pictures; numbers follow `Z`.
    pub(super) fn letter(number: usize) -> String {
        u8::try_from(number)
            .ok()
            .filter(|&number| number < 26)
            .map_or_else(|| (number + 1).to_string(), |number| char::from(b'A' + number).to_string())
    }

    /// What makes the figures doubtful: sentences.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (number, machine) in self.machines.iter().enumerate() {
            let letter = Self::letter(number);
            let moved = machine.peaks.iter().filter(|peak| peak.has_moved());
            let moved = moved.map(|MachinePeak { name, unit, before, after }| {
                format!("{name} from {before:.1} to {:.1} {unit}", after.unwrap_or_default())
            });
            let moved: Vec<String> = moved.collect();
            if !moved.is_empty() {
                warnings.push(format!(
                    "{letter}: peaks have moved: {}; something else used the device, or its clock has \
                     changed, so its figures are not steady.",
                    moved.join(", ")
                ));
            }
            let figures = self.groups.iter().flat_map(|group| {
                group.rows.iter().filter_map(move |row| Some((group, row, row.figures[number]?)))
            });
            for (group, row, figure) in figures {
                let high = figure.nearest_limit().filter(|(share, _)| *share > 1.0);
                warnings.extend(high.map(|(share, of)| {
                    format!(
                        "{letter}: {} {} reaches {:.1} % of the {of} peak: the peak is wrong, or --cache was \
                         smaller than the cache.",
                        group.heading,
                        row.labels.join(" "),
                        100.0 * share
                    )
                }));
            }
        }
        warnings
    }
}
