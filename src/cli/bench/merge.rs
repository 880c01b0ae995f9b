//! `qmill bench --merge`: the outputs of several machines side by side.

use super::output::Style;
use super::peaks::PEAKS;
use super::record::{Record, device_name, number, text};
use super::{models, operation_record, read};
use crate::cli::failure::Failure;
use crate::cli::show;
use qmill::bench::{Operation, Shares};
use qmill::report::{Figure, Group, Machine, MachinePeak, MachineRow, Machines};
use qmill::report::{machines_html, machines_markdown};
use std::collections::HashSet;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What a file has records of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Operations,
    Models,
}

/// A record, and where it is from.
struct Found<'a> {
    path: &'a Path,
    /// Counted from 1.
    number: usize,
    record: Record,
}

/// A record's machine, table and labels, and what it says.
struct Entry {
    machine: usize,
    group: Group,
    labels: Vec<String>,
    figure: Figure,
}

/// Prints the records of the files side by side.
pub(super) fn run(paths: &[PathBuf], style: Style) -> Result<(), Failure> {
    let print = match style {
        Style::Md => machines_markdown,
        Style::Html => machines_html,
        _ => return Err(Failure::Usage("--merge prints -o md or -o html".to_owned())),
    };
    let (kind, found) = read_all(paths)?;
    let machines = side_by_side(kind, &found)?;
    Ok(io::stdout().lock().write_all(print(&machines).as_bytes())?)
}

/// The records of all files, which are of one kind.
fn read_all(paths: &[PathBuf]) -> Result<(Kind, Vec<Found<'_>>), Failure> {
    let mut all: Vec<Found> = Vec::new();
    let mut first: Option<(Kind, &Path)> = None;
    for path in paths {
        let none = || {
            let path = path.display();
            Failure::Usage(format!("{path}: is no output of qmill bench as json, jsonl or csv"))
        };
        for (i, record) in read::records(path)?.ok_or_else(none)?.into_iter().enumerate() {
            let found = Found { path, number: i + 1, record };
            let kind = found.kind()?;
            let (known, of) = *first.get_or_insert((kind, path));
            if kind != known {
                let (here, there) = (kind.name(), known.name());
                let of = of.display();
                return Err(found.fault(format!("is of {here}, and {of} has {there}")));
            }
            all.push(found);
        }
    }
    let (kind, _) = first.ok_or_else(|| Failure::Usage("there is nothing to merge".to_owned()))?;
    Ok((kind, all))
}

/// The records as tables with a column for each machine.
fn side_by_side(kind: Kind, found: &[Found]) -> Result<Machines, Failure> {
    let mut result = Machines::default();
    let mut known = Vec::new();
    let mut entries = Vec::new();
    let has_precisions = has_precisions(found);
    for found in found {
        let machine = found.machine()?;
        let key = (found.path, machine.name.clone(), machine.facts.clone());
        let number = known.iter().position(|other| *other == key).unwrap_or_else(|| {
            known.push(key);
            result.machines.push(Machine::default());
            known.len() - 1
        });
        // The last record counts, because it is from the latest run.
        result.machines[number] = machine;
        entries.push(match kind {
            Kind::Operations => found.operation(number)?,
            Kind::Models => found.test(number, has_precisions)?,
        });
    }
    for Entry { machine, group, labels, figure } in entries {
        let count = result.machines.len();
        let groups = &mut result.groups;
        let at = groups.iter().position(|known| known.heading == group.heading).unwrap_or_else(|| {
            groups.push(group);
            groups.len() - 1
        });
        let rows = &mut groups[at].rows;
        let row = rows.iter().position(|row| row.labels == labels).unwrap_or_else(|| {
            rows.push(MachineRow { labels, figures: vec![None; count] });
            rows.len() - 1
        });
        rows[row].figures[machine] = Some(figure);
    }
    name_apart(&mut result.machines);
    Ok(result)
}

/// Adds the file's name where machines have one name.
fn name_apart(machines: &mut [Machine]) {
    let names: Vec<String> = machines.iter().map(|machine| machine.name.clone()).collect();
    for machine in machines {
        if names.iter().filter(|name| **name == machine.name).count() > 1 {
            let file = machine.facts.iter().find(|(heading, _)| heading == FILE);
            machine.name = format!("{} in {}", machine.name, file.map_or("", |(_, file)| file));
        }
    }
}

/// Whether some machine has measured a test of a model at several precisions.
fn has_precisions(found: &[Found]) -> bool {
    let all: HashSet<_> = found
        .iter()
        .filter_map(|found| {
            Some((found.path, device_name(&found.record), text(found.record.get("precision")?)))
        })
        .collect();
    let machines: HashSet<_> = all.iter().map(|(path, device, _)| (path, device)).collect();
    all.len() > machines.len()
}

/// The heading of the file's name among a machine's facts.
const FILE: &str = "file";

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Operations => "operations",
            Self::Models => "models",
        }
    }
}

impl Found<'_> {
    fn fault(&self, what: impl Display) -> Failure {
        Failure::Usage(format!("{}: record {} {what}", self.path.display(), self.number))
    }

    fn kind(&self) -> Result<Kind, Failure> {
        if operation_record::KEYS.are_in(&self.record) {
            Ok(Kind::Operations)
        } else if models::KEYS.are_in(&self.record) {
            Ok(Kind::Models)
        } else {
            Err(self.fault("is neither of an operation nor of a model"))
        }
    }

    /// A value as text; empty if there is none.
    fn text(&self, key: &str) -> String {
        self.record.get(key).map(text).unwrap_or_default()
    }

    /// A number, if the record has a value.
    fn number(&self, key: &str) -> Result<Option<f64>, Failure> {
        let found = self.text(key);
        if found.is_empty() {
            return Ok(None);
        }
        match number(&self.record[key]) {
            Some(number) => Ok(Some(number)),
            None => Err(self.fault(format!("has {key} {found:?}, not a number"))),
        }
    }

    /// A number above 0.
    fn positive(&self, key: &str) -> Result<f64, Failure> {
        match self.number(key)? {
            Some(number) if number > 0.0 => Ok(number),
            Some(number) => Err(self.fault(format!("has {key} {number}, not a number above 0"))),
            None => Err(self.fault(format!("has no {key}"))),
        }
    }

    fn machine(&self) -> Result<Machine, Failure> {
        let memory = self.number("memory_bytes")?.map_or_else(String::new, |bytes| show::bytes(bytes as u64));
        let file = self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned();
        let commit = self.text("build_commit");
        let facts = [
            ("driver", self.text("driver")),
            ("OS", self.text("os")),
            ("CPU", self.text("cpu_info")),
            ("cores", self.text("cpu_cores")),
            ("memory", memory),
            ("threads", self.text("n_threads")),
            ("commit", commit),
            (FILE, file),
        ];
        let mut peaks = Vec::new();
        for peak in &PEAKS {
            if let Some(before) = self.number(peak.key)? {
                let (name, unit) = (peak.name.to_owned(), peak.unit.to_owned());
                peaks.push(MachinePeak { name, unit, before, after: self.number(&peak.after())? });
            }
        }
        let facts = facts.into_iter().map(|(heading, fact)| (heading.to_owned(), fact)).collect();
        Ok(Machine { name: device_name(&self.record), facts, peaks })
    }

    fn operation(&self, machine: usize) -> Result<Entry, Failure> {
        let name = self.text("op");
        let operation: Operation = name.parse().map_err(|error| self.fault(format!("has op {error}")))?;
        let shape = format!("{}x{}", self.text("m"), self.text("k"));
        let (mut headings, mut labels) = (vec!["format", "shape"], vec![self.text("format"), shape]);
        if operation.is_product() {
            headings.extend(["n", "variant"]);
            labels.extend([self.text("n"), self.text("variant")]);
        }
        let (unit, rate) =
            if operation == Operation::Matmul { ("GFLOP/s", "gflop_s") } else { ("GB/s", "gb_s") };
        let shares = match self.number("memory_share")? {
            Some(memory) => Some(Shares { memory, compute: self.number("compute_share")? }),
            None => None,
        };
        let figure = Figure {
            seconds: Some(self.positive("median_ns")? / 1e9),
            rate: self.positive(rate)?,
            deviation: None,
            shares,
        };
        Ok(Entry { machine, group: group(&name, unit, &headings), labels, figure })
    }

    fn test(&self, machine: usize, has_precisions: bool) -> Result<Entry, Failure> {
        // The options that are not llama-bench's defaults tell tests apart.
        let defaults = [("n_batch", "2048"), ("n_ubatch", "512"), ("type_k", "f16"), ("type_v", "f16")];
        let mut test = vec![self.text("test")];
        test.extend(
            defaults
                .into_iter()
                .map(|(key, default)| (key, default, self.text(key)))
                .filter(|(_, default, value)| value != default)
                .map(|(key, _, value)| format!("{key} {value}")),
        );
        test.extend(has_precisions.then(|| self.text("precision")));
        let figure = Figure {
            seconds: None,
            rate: self.positive("avg_ts")?,
            deviation: self.number("stddev_ts")?,
            shares: None,
        };
        let labels = vec![self.text("model_type"), test.join(", ")];
        Ok(Entry { machine, group: group("models", "t/s", &["model", "test"]), labels, figure })
    }
}

fn group(heading: &str, unit: &str, headings: &[&str]) -> Group {
    Group {
        heading: heading.to_owned(),
        unit: unit.to_owned(),
        headings: headings.iter().map(|&heading| heading.to_owned()).collect(),
        rows: Vec::new(),
    }
}
