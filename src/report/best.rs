//! What a type is best for, by stated rules.

use super::data::{Report, Row};

/// The largest perplexity of a type that counts as good, as a multiple of the base's.
const GOOD: f64 = 1.01;

/// A rule, and the row that it chooses.
#[derive(Clone, PartialEq, Debug)]
pub struct Rule {
    /// A word for the column of the table.
    pub word: String,
    /// The rule as a sentence.
    pub sentence: String,
    /// The index of the chosen row in [`Report::rows`]; `None` if no row satisfies the rule.
    pub row: Option<usize>,
}

/// The rules that apply to a report, each with its choice among the types, which the base is not.
///
/// Of equal rows the first is chosen.
pub fn best(report: &Report) -> Vec<Rule> {
    let types: Vec<(usize, &Row)> = report.rows.iter().enumerate().filter(|(_, row)| !row.is_base).collect();
    let least = |of: &dyn Fn(&Row) -> Option<f64>| {
        let known = types.iter().filter_map(|&(index, row)| Some((index, of(row)?)));
        known.reduce(|best, next| if next.1 < best.1 { next } else { best }).map(|(index, _)| index)
    };
    let mut rules = Vec::new();
    let base = report.base_row().map(|row| row.quality.perplexity.value);
    if let Some(base) = base {
        rules.push(Rule {
            word: "size".to_owned(),
            sentence: "size: the smallest file whose perplexity is at most 1 % above the base's".to_owned(),
            row: least(&|row| {
                let is_good = row.quality.perplexity.value <= GOOD * base;
                is_good.then_some(row.file_bytes as f64)
            }),
        });
    }
    let devices = report.devices();
    for &device in &devices {
        let letter = report.letter(device);
        let on = letter.map_or_else(String::new, |letter| format!(" on {letter}"));
        let generation = |row: &Row| Some(-row.speed(device)?.generation?.value);
        let prompt = |row: &Row| Some(-row.speed(device)?.prompt?.value);
        let measured = |of: &dyn Fn(&Row) -> Option<f64>| types.iter().any(|(_, row)| of(row).is_some());
        if measured(&generation) {
            rules.push(Rule {
                word: format!("generation{on}"),
                sentence: format!("generation{on}: the most generated tokens a second on {device}"),
                row: least(&generation),
            });
        }
        if measured(&prompt) {
            rules.push(Rule {
                word: format!("prompt{on}"),
                sentence: format!("prompt{on}: the most tokens of a prompt a second on {device}"),
                row: least(&prompt),
            });
        }
    }
    if let (Some(limit), Some(&device)) = (report.memory_limit, devices.first()) {
        rules.push(Rule {
            word: "memory".to_owned(),
            sentence: format!(
                "memory: the least mean KL divergence of those whose weights and KV cache take at most {:.1} \
                 MiB on {device}",
                limit as f64 / f64::from(1 << 20)
            ),
            row: least(&|row| {
                let fits = row.speed(device)?.memory_bytes() <= limit;
                row.divergence().filter(|_| fits)
            }),
        });
    }
    rules
}

/// Whether no type has both a file of at most this size and at most this divergence, one of them less.
pub(super) fn is_on_frontier(report: &Report, row: &Row) -> bool {
    let Some(loss) = row.divergence() else { return false };
    !report.types().any(|other| {
        let Some(other_loss) = other.divergence() else { return false };
        other.file_bytes <= row.file_bytes
            && other_loss <= loss
            && (other.file_bytes < row.file_bytes || other_loss < loss)
    })
}
