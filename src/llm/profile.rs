//! How long a session's kernels took on a GPU.

/// The times of a session's kernels.
#[derive(Clone, Default, Debug)]
pub struct Profile {
    /// Batches of several tokens: prompts.
    pub batches: Phase,
    /// Single tokens: answers.
    pub singles: Phase,
}

/// The times of some batches.
#[derive(Clone, Default, Debug)]
pub struct Phase {
    /// Tokens that went through the model.
    pub tokens: usize,
    /// Seconds from the first submission of a batch until its logits were read; more than without a profile.
    pub seconds: f64,
    /// In order of their first dispatch.
    pub kinds: Vec<KindTime>,
}

/// The time of the kernels of one kind.
#[derive(Clone, PartialEq, Debug)]
pub struct KindTime {
    /// The operation, and the format of its weights if it has any.
    pub name: String,
    /// Dispatches.
    pub count: usize,
    /// Seconds by the device's own clock.
    pub seconds: f64,
    /// Bytes of weights that were multiplied by, each matrix counted once for each batch.
    pub weight_bytes: u64,
}

impl Profile {
    /// The phase of batches of this many tokens.
    pub(super) fn phase(&mut self, tokens: usize) -> &mut Phase {
        if tokens == 1 { &mut self.singles } else { &mut self.batches }
    }
}

impl Phase {
    /// Seconds in kernels.
    pub fn kernel_seconds(&self) -> f64 {
        self.kinds.iter().map(|kind| kind.seconds).sum()
    }

    /// Counts a dispatch.
    pub(super) fn add(&mut self, name: &str, seconds: f64, weight_bytes: u64) {
        let known = self.kinds.iter().position(|kind| kind.name == name);
        let index = known.unwrap_or_else(|| {
            self.kinds.push(KindTime { name: name.to_owned(), count: 0, seconds: 0.0, weight_bytes: 0 });
            self.kinds.len() - 1
        });
        let kind = &mut self.kinds[index];
        kind.count += 1;
        kind.seconds += seconds;
        kind.weight_bytes += weight_bytes;
    }
}
