//! What is solved: items, candidates and limits.

/// What one item may become.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Candidate {
    /// Bytes that it takes.
    pub bytes: u64,
    /// Bytes of it that are read for each token.
    pub active_bytes: u64,
    /// The loss that it causes, at least 0.
    pub loss: f64,
}

/// Items with candidates, and limits on the sum of what is chosen.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Problem {
    /// The candidates of each item, at least one.
    pub items: Vec<Vec<Candidate>>,
    /// The most bytes.
    pub max_bytes: u64,
    /// The most bytes that are read for each token.
    pub max_active_bytes: Option<u64>,
}

/// The sums over the candidates that are chosen.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Totals {
    /// Bytes.
    pub bytes: u64,
    /// Bytes that are read for each token.
    pub active_bytes: u64,
    /// The loss.
    pub loss: f64,
}

impl Problem {
    /// The sums over the candidates at the indices `chosen`, one for each item.
    ///
    /// # Panics
    ///
    /// If there are fewer indices than items, or an index has no candidate.
    pub fn totals(&self, chosen: &[usize]) -> Totals {
        let mut totals = Totals::default();
        for (item, &choice) in self.items.iter().zip(chosen) {
            let Candidate { bytes, active_bytes, loss } = item[choice];
            totals.bytes += bytes;
            totals.active_bytes += active_bytes;
            totals.loss += loss;
        }
        totals
    }

    /// Whether these sums are within the limits.
    pub fn allows(&self, totals: &Totals) -> bool {
        totals.bytes <= self.max_bytes && self.max_active_bytes.is_none_or(|most| totals.active_bytes <= most)
    }
}
