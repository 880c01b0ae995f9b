//! `qmill perplexity`: how well a model predicts a text, and the difference from another model.

use super::failure::Failure;
use super::model::{self, Count, Loaded, ModelOptions};
use clap::Args;
use qmill::eval::{self, Base, BaseKey, BaseLogits, Chunks, Divergence, Prediction};
use qmill::stream::Existing;
use qmill::{Device, Error, gguf};
use serde_json::{Value, json};
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Measures how well a model predicts a text, as llama-perplexity does.
///
/// The text is cut into chunks, and the tokens in the second half of each are predicted. Perplexity is
/// exp(mean of -ln p), with p the probability of the next token. --base also evaluates a second model: KL
/// divergence is the mean of Σ p·ln(p/q) over all tokens in nats, with p of the base and q of the model, and
/// same top is the share of positions at which both have the same most likely token. ± is one standard error.
#[derive(Args)]
pub(crate) struct Perplexity {
    #[command(flatten)]
    model: ModelOptions,
    /// The file with the text
    #[arg(short, long, value_name = "TEXT")]
    file: PathBuf,
    /// A model to compare with, such as the F16 model
    #[arg(long, value_name = "MODEL")]
    base: Option<PathBuf>,
    /// A file for the base's predictions: made if it does not exist, otherwise used instead of the base,
    /// which then need not be named. Two bytes for each predicted token and each token of the vocabulary
    #[arg(long, value_name = "FILE")]
    base_logits: Option<PathBuf>,
    /// Tokens in a chunk; 0 means the context that the model was trained for
    #[arg(short, long, value_name = "N", default_value_t = 512)]
    ctx: usize,
    /// The most chunks to evaluate; 0 or -1 means all
    #[arg(long, value_name = "N", default_value = "-1", allow_negative_numbers = true)]
    #[arg(value_parser = model::none_or_count)]
    chunks: Count,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Perplexity {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (path, action) = (self.file.clone(), "read");
        let text = fs::read(&self.file).map_err(|source| Error::Io { path, action, source })?;
        let text = model::lossy(&text, &self.file.display().to_string(), &mut false);
        let device = self.model.open_device()?;
        let Loaded { model, tokenizer, .. } = self.model.load(&device, Some(self.ctx))?;
        let context = model.context();
        let tokens = tokenizer.prompt(&text);
        let bos = tokenizer.bos().filter(|_| tokenizer.adds_bos());
        let chunks = Chunks { tokens: context, limit: self.chunks.0, bos };
        let kept = self.base_logits.as_deref();
        let kept = kept.map(|file| self.kept_base(file, &device, context, &tokens, &chunks)).transpose()?;
        let base = self.base.as_deref().filter(|_| kept.is_none());
        let base = base.map(|path| self.model.load_other(path, &device, context)).transpose()?;
        let base = kept.as_ref().map(Base::Kept).or(base.as_ref().map(Base::Model));
        let known = with_progress("", |on_chunk| eval::perplexity(&model, base, &tokens, &chunks, on_chunk))?;
        model::store_pipelines(&device);

        let mut out = io::stdout().lock();
        if self.json {
            let mut object = to_json(&known);
            model::add_sizes(&mut object, &model);
            writeln!(out, "{object}")?;
        } else {
            write_text(&known, &mut out)?;
            writeln!(out, "model           {}", model::sizes(&model))?;
        }
        Ok(())
    }
}

impl Perplexity {
    /// The base's predictions from `file`, which is made first if it does not exist.
    fn kept_base(
        &self,
        file: &Path,
        device: &Device,
        context: usize,
        tokens: &[u32],
        chunks: &Chunks,
    ) -> Result<BaseLogits, Failure> {
        let source = gguf::Model::open(self.base.as_ref().unwrap_or(&self.model.model))?;
        let key = BaseKey::new(&source, &self.model.options(device, Some(context)), tokens, chunks)?;
        if let Some(base) = self.base.as_deref().filter(|_| !file.exists()) {
            let base = self.model.load_other(base, device, context)?;
            return with_progress("base: ", |on_chunk| {
                BaseLogits::record(file, Existing::Refuse, &key, &base, tokens, chunks, on_chunk)
            });
        }
        let kept = BaseLogits::open(file)?;
        kept.check(&key, self.base.is_none())?;
        Ok(kept)
    }
}

/// Runs `measure` with its progress on the standard error, if that is a terminal.
fn with_progress<T>(
    what: &str,
    measure: impl FnOnce(&mut dyn FnMut(&Prediction) -> ControlFlow<()>) -> qmill::Result<T>,
) -> Result<T, Failure> {
    let show = io::stderr().is_terminal();
    let result = measure(&mut |known| {
        if show {
            let Prediction { chunks, total_chunks, perplexity, .. } = known;
            eprint!("\r{what}{chunks} of {total_chunks} chunks: {:.4} ", perplexity.value());
        }
        ControlFlow::Continue(())
    });
    if show {
        eprintln!();
    }
    Ok(result?)
}

fn write_text(known: &Prediction, out: &mut impl Write) -> io::Result<()> {
    let Prediction { chunks, perplexity, divergence, .. } = known;
    let (value, error) = (perplexity.value(), perplexity.error());
    writeln!(
        out,
        "perplexity      {value:.4} ± {error:.5}, {} tokens in {chunks} chunks",
        perplexity.tokens()
    )?;
    let Some(divergence) = divergence else { return Ok(()) };
    let (ratio, mean, same) = (divergence.log_ratio(), divergence.mean(), divergence.same_top());
    let base = divergence.base();
    writeln!(out, "of the base     {:.4} ± {:.5}", base.value(), base.error())?;
    writeln!(out, "ln of the ratio {:.6} ± {:.6}", ratio.value, ratio.error)?;
    let by_chunk = divergence.by_chunk().error;
    let by_chunk = if by_chunk.is_nan() { String::new() } else { format!(", by chunk ± {by_chunk:.6}") };
    writeln!(out, "KL divergence   {:.6} ± {:.6}{by_chunk}", mean.value, mean.error)?;
    let [median, high, largest] = percentiles(divergence);
    writeln!(out, "                median {median:.6}, 99 % {high:.6}, maximum {largest:.6}")?;
    writeln!(out, "RMS of q - p    {:.3} %", 100.0 * divergence.rms_difference())?;
    writeln!(out, "same top        {:.3} ± {:.3} %", 100.0 * same.value, 100.0 * same.error)
}

fn percentiles(divergence: &Divergence) -> [f64; 3] {
    [0.5, 0.99, 1.0].map(|share| divergence.percentile(share))
}

fn to_json(known: &Prediction) -> Value {
    let Prediction { chunks, perplexity, divergence, .. } = known;
    let mut object = json!({
        "chunks": chunks,
        "tokens": perplexity.tokens(),
        "perplexity": perplexity.value(),
        "perplexity_error": perplexity.error(),
    });
    if let Some(divergence) = divergence {
        let (ratio, mean, same) = (divergence.log_ratio(), divergence.mean(), divergence.same_top());
        let [median, high, largest] = percentiles(divergence);
        object["base"] = json!({
            "perplexity": divergence.base().value(),
            "perplexity_error": divergence.base().error(),
            "log_ratio": ratio.value,
            "log_ratio_error": ratio.error,
            "kl_divergence": mean.value,
            "kl_divergence_error": mean.error,
            "kl_divergence_error_by_chunk": divergence.by_chunk().error,
            "kl_divergence_median": median,
            "kl_divergence_99": high,
            "kl_divergence_maximum": largest,
            "rms_difference": divergence.rms_difference(),
            "same_top": same.value,
            "same_top_error": same.error,
        });
    }
    object
}
