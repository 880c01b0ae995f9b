//! `qmill run`: from a prompt to text.

use super::failure::Failure;
use super::model::{self, ModelOptions};
use clap::Args;
use qmill::Error;
use qmill::llm::{
    Answer, ChatTemplate, End, Generator, Message, Model, Phase, Profile, SamplerOptions, Session, Tokenizer,
};
use serde_json::json;
use signal_hook::consts::SIGINT;
use signal_hook::flag;
use std::io::{self, BufRead, IsTerminal, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

/// Continues a prompt with a model, or talks with it.
///
/// The text is printed as it comes; the figures follow on the standard error. With --chat, each line of the standard input is
/// a message; Ctrl-C ends an answer, and between answers the program.
#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    model: ModelOptions,
    /// The text to continue; with --chat the first message
    #[arg(short, long, value_name = "TEXT", required_unless_present = "chat")]
    prompt: Option<String>,
    /// Most tokens of an answer
    #[arg(short = 'n', long = "predict", value_name = "N", default_value_t = 256)]
    limit: usize,
    /// Tokens that there is room for, prompt and answer together [default: 4096, or what the model was trained for if less]
    #[arg(short, long, value_name = "N")]
    ctx: Option<usize>,
    /// Talk with the model, by the chat template of its file
    #[arg(long)]
    chat: bool,
    /// What the model is told before a conversation
    #[arg(long, value_name = "TEXT", requires = "chat")]
    system: Option<String>,
    #[command(flatten)]
    sampler: SamplerArgs,
    /// Print no text as it comes, but one JSON object on one line for each answer
    #[arg(long)]
    json: bool,
    /// Print in the end what each kind of kernel took on the GPU: shares of the time that kernels took, and bytes of weights a
    /// second. Answers come slower meanwhile
    #[arg(long, conflicts_with = "json")]
    profile: bool,
}

/// How tokens are chosen.
#[derive(Args)]
struct SamplerArgs {
    /// Divides the logits: 0 takes the likeliest token always
    #[arg(long, value_name = "T", default_value_t = SamplerOptions::default().temperature)]
    temp: f32,
    /// Choose among the K likeliest tokens; 0 means all
    #[arg(long, value_name = "K", default_value_t = SamplerOptions::default().top_k)]
    top_k: usize,
    /// Choose among the likeliest tokens that have this probability together
    #[arg(long, value_name = "P", default_value_t = SamplerOptions::default().top_p)]
    top_p: f32,
    /// Choose among tokens with at least this share of the likeliest one's probability
    #[arg(long, value_name = "P", default_value_t = SamplerOptions::default().min_p)]
    min_p: f32,
    /// Divide the logits of the last 64 tokens by this
    #[arg(long, value_name = "X", default_value_t = SamplerOptions::default().repeat_penalty)]
    repeat_penalty: f32,
    /// The same seed gives the same answer [default: the time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl SamplerArgs {
    fn options(&self) -> SamplerOptions {
        let now = || SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| u64::from(since.subsec_nanos()));
        SamplerOptions::default()
            .with_repeat_penalty(self.repeat_penalty)
            .with_top_k(self.top_k)
            .with_top_p(self.top_p)
            .with_min_p(self.min_p)
            .with_temperature(self.temp)
            .with_seed(self.seed.unwrap_or_else(now))
    }
}

impl Run {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let device = self.model.open_device()?;
        let (model, tokenizer) = self.model.load(&device, self.ctx)?;
        let options = self.sampler.options();
        let mut teller = Teller { model: &model, seed: options.seed, json: self.json };
        let mut session = Session::new(&model)?;
        if self.profile {
            session.start_profile()?;
        }
        let mut generator = Generator::new(session, tokenizer.clone(), options)?;
        if self.chat {
            self.talk(&tokenizer, &mut generator, &mut teller)?;
        } else {
            let tokens = tokenizer.prompt(self.prompt.as_deref().unwrap_or_default());
            let answer = teller.answer(&mut generator, &tokens, self.limit, &|| false)?;
            teller.finish(&answer)?;
        }
        if let Some(Profile { batches, singles }) = generator.session().profile() {
            print_phase("batches", batches);
            print_phase("single tokens", singles);
        }
        model::store_pipelines(&device);
        Ok(())
    }

    fn talk(
        &self,
        tokenizer: &Tokenizer,
        generator: &mut Generator,
        teller: &mut Teller,
    ) -> Result<(), Failure> {
        let Some(template) = ChatTemplate::new(teller.model.metadata(), tokenizer)? else {
            let message = "the model has no chat template; without --chat it continues a text";
            return Err(Error::ChatTemplate { message: message.to_owned() }.into());
        };
        // Set while nothing is to be stopped: then a signal ends the program.
        let stop = Arc::new(AtomicBool::new(true));
        flag::register_conditional_shutdown(SIGINT, super::failure::INTERRUPTED.into(), Arc::clone(&stop))
            .map_err(Failure::Signals)?;
        flag::register(SIGINT, Arc::clone(&stop)).map_err(Failure::Signals)?;

        let system = self.system.as_ref().map(|text| Message::new("system", text));
        let mut messages: Vec<Message> = system.into_iter().collect();
        let mut first = self.prompt.clone();
        while let Some(line) = first.take().map_or_else(read_line, |prompt| Ok(Some(prompt)))? {
            if line.trim().is_empty() {
                continue;
            }
            messages.push(Message::new("user", line));
            let tokens = tokenizer.prompt(&template.render(&messages)?);
            stop.store(false, Ordering::Relaxed);
            let answer = teller.answer(generator, &tokens, self.limit, &|| stop.load(Ordering::Relaxed));
            stop.store(true, Ordering::Relaxed);
            let answer = answer?;
            teller.finish(&answer)?;
            messages.push(Message::new("assistant", answer.text));
        }
        Ok(())
    }
}

/// The next line of the standard input; `None` at its end.
fn read_line() -> Result<Option<String>, Failure> {
    if io::stdin().is_terminal() {
        eprint!("> ");
    }
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line).map_err(Failure::Stdin)?;
    Ok((read > 0).then(|| line.trim_end_matches(['\n', '\r']).to_owned()))
}

/// Prints answers and their figures.
struct Teller<'a> {
    model: &'a Model,
    seed: u64,
    json: bool,
}

impl Teller<'_> {
    fn answer(
        &mut self,
        generator: &mut Generator,
        tokens: &[u32],
        limit: usize,
        stop: &dyn Fn() -> bool,
    ) -> Result<Answer, Failure> {
        let mut out = io::stdout().lock();
        let mut written = Ok(());
        let answer = generator.answer(tokens, limit, &mut |text| {
            if !self.json {
                written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            }
            if stop() || written.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        written?;
        if !self.json {
            writeln!(out)?;
        }
        Ok(answer)
    }

    fn finish(&self, answer: &Answer) -> Result<(), Failure> {
        let Answer { prompt_tokens, prompt_seconds, seconds, .. } = answer;
        if self.json {
            let mut object = json!({
                "text": answer.text,
                "end": end(answer.end),
                "prompt_tokens": prompt_tokens,
                "generated_tokens": answer.tokens.len(),
                "prompt_seconds": prompt_seconds,
                "generate_seconds": seconds,
                "prompt_tokens_per_second": answer.prompt_rate(),
                "generated_tokens_per_second": answer.rate(),
                "seed": self.seed,
            });
            model::add_sizes(&mut object, self.model);
            writeln!(io::stdout(), "{object}")?;
            return Ok(());
        }
        let (prompt_rate, rate) = (answer.prompt_rate(), answer.rate());
        eprintln!("prompt  {prompt_tokens} tokens in {prompt_seconds:.2} s, {prompt_rate:.1} tokens/s");
        let tokens = answer.tokens.len();
        eprintln!("answer  {tokens} tokens in {seconds:.2} s, {rate:.1} tokens/s; {}", end(answer.end));
        eprintln!("model   {}; seed {}", model::sizes(self.model), self.seed);
        Ok(())
    }
}

/// What the kernels of a phase took for each token.
fn print_phase(name: &str, phase: &Phase) {
    if phase.tokens == 0 {
        return;
    }
    let tokens = phase.tokens as f64;
    let (all_ms, kernels_ms) = (1e3 * phase.seconds / tokens, 1e3 * phase.kernel_seconds() / tokens);
    eprintln!("\n{name}: {} tokens, {all_ms:.3} ms each, {kernels_ms:.3} ms in kernels", phase.tokens);
    eprintln!("{:<24} {:>10} {:>12} {:>7} {:>8}", "kernel", "dispatches", "ms a token", "share", "GB/s");
    let mut kinds = phase.kinds.clone();
    kinds.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    for kind in kinds {
        let rate = match kind.weight_bytes {
            0 => String::new(),
            bytes => format!("{:8.2}", bytes as f64 * 1e-9 / kind.seconds),
        };
        let (ms, share) = (1e3 * kind.seconds / tokens, 100.0 * kind.seconds / phase.kernel_seconds());
        eprintln!("{:<24} {:>10} {ms:>12.3} {share:>6.1}% {rate:>8}", kind.name, kind.count);
    }
}

fn end(end: End) -> &'static str {
    match end {
        End::Token => "complete",
        End::Context => "the context is full",
        End::Stopped => "stopped",
        // As many tokens as were asked for.
        _ => "limit",
    }
}
