//! Options of llama.cpp for `run` and `perplexity`: translated if qmill has the same under another name,
//! otherwise dropped with a note or refused with a hint.

use std::ffi::OsString;

/// An option of llama.cpp, with its synonyms.
struct Word {
    names: &'static [&'static str],
    /// Whether `perplexity` has it, too.
    is_common: bool,
    meaning: Meaning,
}

enum Meaning {
    /// qmill's name of the option. A value follows if it does in llama.cpp.
    Same(&'static str),
    /// The option is dropped with so many values, and a note says why it has no effect.
    Needless { values: usize, why: &'static str },
    /// The number of layers on a GPU.
    Layers,
    /// The option is refused, because it would change the answer or the device.
    Refused(&'static str),
}

use Meaning::{Layers, Needless, Refused, Same};

const fn run(names: &'static [&'static str], meaning: Meaning) -> Word {
    Word { names, is_common: false, meaning }
}

const fn both(names: &'static [&'static str], meaning: Meaning) -> Word {
    Word { names, is_common: true, meaning }
}

const PLACEMENT: &str = "a model is on one device as a whole: --device says on which";
const SAMPLING: &str = "tokens are chosen by --temp, --top-k, --top-p, --min-p and --repeat-penalty";
const ROPE: &str =
    "positions are scaled as the file says; `qmill quantize --override-kv` changes that in a file";

const WORDS: [Word; 41] = [
    run(&["-cnv", "--conversation", "-i", "--interactive", "-if", "--interactive-first"], Same("--chat")),
    run(&["-sys", "--system-prompt"], Same("--system")),
    run(&["--n-predict"], Same("--predict")),
    both(&["--ctx-size"], Same("--ctx")),
    both(&["-ctk"], Same("--cache-type-k")),
    both(&["-ctv"], Same("--cache-type-v")),
    both(&["-dev"], Same("--device")),
    both(&["-ngl", "--gpu-layers", "--n-gpu-layers"], Layers),
    both(&["--no-mmap", "--mmap", "--mlock"], needless("weights are read into memory, no file is mapped")),
    both(&["--no-warmup", "--warmup"], needless("there is no warm-up")),
    both(
        &["-v", "--verbose", "--log-disable", "--verbose-prompt", "--perf", "--no-perf"],
        needless("--stats and --profile print figures"),
    ),
    both(
        &["-ub", "--ubatch-size"],
        Needless { values: 1, why: "only --batch-size sets how many tokens are computed together" },
    ),
    both(
        &["-tb", "--threads-batch"],
        Needless { values: 1, why: "prompts and answers use the threads of --threads" },
    ),
    both(&["-nkvo", "--no-kv-offload"], Refused("keys and values are where the weights are")),
    both(&["--no-op-offload", "--op-offload"], needless("a model is computed on one device")),
    both(
        &[
            "--numa",
            "--prio",
            "--prio-batch",
            "--poll",
            "--poll-batch",
            "--cpu-mask",
            "--cpu-range",
            "--cpu-strict",
        ],
        Needless { values: 1, why: "the system places threads" },
    ),
    run(&["-co", "--color", "--simple-io"], needless("text is printed as it is")),
    run(&["--no-display-prompt", "--display-prompt"], needless("only the answer is printed")),
    run(&["--jinja", "--no-jinja"], needless("--chat renders the file's template, in Jinja")),
    run(&["-no-cnv", "--no-conversation"], needless("-p without --chat continues a text")),
    run(&["--no-escape"], needless("escapes are processed only with --escape")),
    run(&["--no-context-shift"], needless("an answer ends where the context is full")),
    run(
        &["--context-shift", "--keep"],
        Refused("an answer ends where the context is full, and a chat forgets its oldest messages"),
    ),
    both(&["-ot", "--override-tensor", "-cmoe", "--cpu-moe", "-ncmoe", "--n-cpu-moe"], Refused(PLACEMENT)),
    both(&["-ts", "--tensor-split", "-sm", "--split-mode", "-mg", "--main-gpu", "--rpc"], Refused(PLACEMENT)),
    run(
        &["--repeat-last-n", "--presence-penalty", "--frequency-penalty", "--typical", "--typical-p"],
        Refused(SAMPLING),
    ),
    run(
        &["--mirostat", "--mirostat-lr", "--mirostat-ent", "--samplers", "--sampling-seq", "--sampler-seq"],
        Refused(SAMPLING),
    ),
    run(&["--xtc-probability", "--xtc-threshold", "--top-nsigma", "--top-n-sigma"], Refused(SAMPLING)),
    run(
        &["--dynatemp-range", "--dynatemp-exp", "--dry-multiplier", "--dry-base", "--dry-allowed-length"],
        Refused(SAMPLING),
    ),
    run(&["--logit-bias", "--ignore-eos"], Refused(SAMPLING)),
    run(
        &["--grammar", "--grammar-file", "--json-schema", "-jf", "--json-schema-file"],
        Refused("grammars are not supported; --json prints answers as JSON"),
    ),
    both(&["--rope-scaling", "--rope-scale", "--rope-freq-base", "--rope-freq-scale"], Refused(ROPE)),
    both(
        &[
            "--yarn-orig-ctx",
            "--yarn-ext-factor",
            "--yarn-attn-factor",
            "--yarn-beta-slow",
            "--yarn-beta-fast",
        ],
        Refused(ROPE),
    ),
    both(&["--override-kv"], Refused("`qmill quantize --override-kv` writes a file with other keys")),
    both(&["--lora", "--lora-scaled", "--control-vector"], Refused("adapters are not supported")),
    run(
        &["--reverse-prompt", "--in-prefix", "--in-suffix", "-sysf", "--system-prompt-file"],
        Refused("--chat goes by the template of the file, and --system takes a text"),
    ),
    run(
        &["-st", "--single-turn"],
        Refused("--chat ends with its input: -p TEXT --chat </dev/null is one message"),
    ),
    run(&["--chat-template", "--chat-template-file"], Refused("--chat goes by the template of the file")),
    both(
        &["-hf", "-hfr", "--hf-repo", "-hff", "--hf-file", "-mu", "--model-url"],
        Refused("nothing is downloaded: -m takes a file"),
    ),
    run(
        &["-mm", "--mmproj", "--image", "--audio", "-md", "--model-draft"],
        Refused("only single models for text are supported"),
    ),
    both(
        &[
            "--kl-divergence",
            "--kl-divergence-base",
            "--ppl-stride",
            "--hellaswag",
            "--winogrande",
            "--multiple-choice",
        ],
        Refused("`qmill perplexity --base MODEL` compares with another model"),
    ),
];

const fn needless(why: &'static str) -> Meaning {
    Needless { values: 0, why }
}

/// The options whose value is optional.
const FLASH_ATTENTION: [&str; 2] = ["-fa", "--flash-attn"];

/// Translates the command line. Returns also a note for each option that is dropped. Fails with the reason if
/// an option is refused.
pub(super) fn translate(arguments: Vec<OsString>) -> Result<(Vec<OsString>, Vec<String>), String> {
    let is_run = match arguments.get(1).and_then(|command| command.to_str()) {
        Some("run") => true,
        Some("perplexity") => false,
        _ => return Ok((arguments, Vec::new())),
    };
    let mut notes = Vec::new();
    let mut words = arguments.into_iter().peekable();
    let mut translated: Vec<OsString> = words.by_ref().take(2).collect();
    let has_device =
        |words: &[OsString]| words.iter().any(|word| word.to_string_lossy().starts_with("--device"));
    let mut on_cpu = false;
    while let Some(argument) = words.next() {
        let text = argument.to_str().unwrap_or_default();
        if text == "--" {
            translated.push(argument);
            translated.extend(words.by_ref());
            break;
        }
        // The value of an option is not translated.
        let takes_value = TAKE_VALUES.contains(&text);
        let (name, value) = match text.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (text, None),
        };
        if FLASH_ATTENTION.contains(&name) {
            let is_value =
                |word: &OsString| ["on", "off", "auto", "0", "1"].iter().any(|value| word == value);
            if value.is_none() && words.peek().is_some_and(is_value) {
                words.next();
            }
            notes.push(format!("{name} is left out: attention has one form on each device"));
            continue;
        }
        let found = WORDS.iter().find(|word| (is_run || word.is_common) && word.names.contains(&name));
        match found.map(|word| &word.meaning) {
            None => {
                translated.push(argument);
                if takes_value {
                    translated.extend(words.next());
                }
            }
            Some(Same(own)) => {
                translated.push(match &value {
                    Some(value) => format!("{own}={value}").into(),
                    None => own.into(),
                });
                if value.is_none() && TAKE_VALUES.contains(own) {
                    translated.extend(words.next());
                }
            }
            Some(Needless { values, why }) => {
                if value.is_none() {
                    (0..*values).for_each(|_| drop(words.next()));
                }
                notes.push(format!("{name} is left out: {why}"));
            }
            Some(Layers) => {
                let count = value.or_else(|| words.next().map(|word| word.to_string_lossy().into_owned()));
                let count = count.ok_or_else(|| format!("{name} wants a number of layers; {PLACEMENT}"))?;
                on_cpu = count == "0";
                let known = ["all", "auto"].contains(&count.as_str()) || count.parse::<i64>().is_ok();
                if !known {
                    return Err(format!("{name} {count}: that is no number of layers; {PLACEMENT}"));
                }
                notes.push(if on_cpu {
                    format!("{name} 0 is --device cpu here")
                } else {
                    format!("{name} {count} is left out: {PLACEMENT}, and takes a GPU where there is one")
                });
            }
            Some(Refused(why)) => return Err(format!("there is no {name} here; {why}")),
        }
    }
    if on_cpu && !has_device(&translated) {
        translated.extend(["--device", "cpu"].map(OsString::from));
    }
    Ok((translated, notes))
}

/// qmill's own options with a value, which may look like an option.
const TAKE_VALUES: [&str; 14] = [
    "-p",
    "--prompt",
    "--system",
    "-m",
    "--model",
    "-f",
    "--file",
    "--device",
    "--base",
    "--predict",
    "--ctx",
    "--cache-type-k",
    "--cache-type-v",
    "--quantize",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> Result<(String, usize), String> {
        let words = line.split(' ').map(OsString::from).collect();
        let (words, notes) = translate(words)?;
        let words: Vec<_> = words.into_iter().map(|word| word.into_string().unwrap()).collect();
        Ok((words.join(" "), notes.len()))
    }

    #[test]
    fn words_of_llama_cpp_are_taken_or_hinted_at() {
        for (line, expected, notes) in [
            ("qmill run -m x -ngl 99 -p a", "qmill run -m x -p a", 1),
            ("qmill run -m x -ngl 0 -p a", "qmill run -m x -p a --device cpu", 1),
            ("qmill run -m x -ngl 0 --device gpu", "qmill run -m x --device gpu", 1),
            ("qmill run --n-gpu-layers=all -cnv -sys b", "qmill run --chat --system b", 1),
            ("qmill run -p -ngl -n 5", "qmill run -p -ngl -n 5", 0),
            ("qmill run -fa on -fa --no-mmap -ub 5 --ubatch-size=5 -c 5", "qmill run -c 5", 5),
            ("qmill run --ctx-size=0 --n-predict -1", "qmill run --ctx=0 --predict -1", 0),
            ("qmill perplexity -ctk f16 -cnv", "qmill perplexity --cache-type-k f16 -cnv", 0),
            ("qmill run -p a -- -ngl", "qmill run -p a -- -ngl", 0),
            ("qmill quantize -ngl 5", "qmill quantize -ngl 5", 0),
        ] {
            assert_eq!(translated(line), Ok((expected.to_owned(), notes)), "{line}");
        }
        for (line, part) in [
            ("qmill run -ot exps=CPU", "no -ot here; a model is on one device"),
            ("qmill run --mirostat 2", "--temp"),
            ("qmill run -ngl", "wants a number"),
            ("qmill perplexity -ngl x", "no number of layers"),
        ] {
            let error = translated(line).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
