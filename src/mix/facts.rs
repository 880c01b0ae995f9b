//! What is known of a model.

/// The metadata of a model that the choice depends on. `None` is a missing key.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `general.architecture`; empty if missing.
    pub architecture: String,
    /// `<architecture>.block_count`: number of layers, including those that predict further tokens.
    pub block_count: Option<u32>,
    /// `<architecture>.attention.head_count`; of layer 0 if it is an array.
    pub head_count: Option<u32>,
    /// `<architecture>.attention.head_count_kv`; of layer 0 if it is an array. Default: `head_count`.
    pub head_count_kv: Option<u32>,
    /// `<architecture>.expert_count`. Default: 0.
    pub expert_count: Option<u32>,
}

impl Facts {
    /// The missing keys and what is assumed instead, one sentence each, for the user.
    pub fn notes(&self) -> Vec<String> {
        let architecture = match self.architecture.as_str() {
            "" => "<architecture>",
            name => name,
        };
        let mut notes = Vec::new();
        if self.architecture.is_empty() {
            notes.push("no general.architecture: no rule of a particular architecture applies".to_owned());
        }
        if self.block_count.is_none() {
            notes.push(format!("no {architecture}.block_count: layers are counted by the tensor names"));
        }
        if self.head_count.is_none() {
            notes.push(format!(
                "no {architecture}.attention.head_count: no heads are taken to share keys and values"
            ));
        }
        notes
    }
}
