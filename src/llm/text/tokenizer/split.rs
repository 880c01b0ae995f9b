//! Splits a text into the words that byte-pair encoding works within, as `tokenizer.ggml.pre` says.

use super::errors::unknown;
use crate::Result;
use crate::gguf::Metadata;
use regex::Regex;

/// A way to split a text into words.
struct Splitting {
    /// Its names in files.
    names: &'static [&'static str],
    /// Patterns. Each splits every part that the one before left, into its matches and what is between them.
    ///
    /// GPT-2's patterns end in `\s+(?!\S)|\s+`. These capture `(\s+)` instead, and [`split`] leaves the last
    /// of several spaces to the next word.
    patterns: &'static [&'static str],
    /// Whether a word that is a token becomes this token, whatever the merges say.
    takes_whole_words: bool,
    /// Whether a text begins with BOS where the file does not say.
    adds_bos: bool,
}

const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|(\s+)";
const LLAMA_3: &str = r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|(\s+)";
const QWEN_2: &str = r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|(\s+)";
/// Words may have marks, as in Indic scripts.
const QWEN_3_5: &str = r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|(\s+)";
/// `o200k`: a word ends where capitals begin. llama.cpp takes every letter outside ASCII for both a capital
/// and a small one.
const GPT_4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{L}--[a-z]]*[\p{L}--[A-Z]]+(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|[^\r\n\p{L}\p{N}]?[\p{L}--[a-z]]+[\p{L}--[A-Z]]*(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|(\s+)";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{L}--[a-z]]*[\p{L}--[A-Z]]+|[^\r\n\p{L}\p{N}]?[\p{L}--[a-z]]+[\p{L}--[A-Z]]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|(\s+)";
const SEED_CODER: &str = r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|(\s+)";
const DEEPSEEK_3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|(\s+)"##;
/// Letters that have a case, of the scripts that `DeepSeek` LLM knows.
const DEEPSEEK_LETTERS: &str = r"(?x)\s?[A-Za-z
    \u{B5} \u{C0}-\u{D6} \u{D8}-\u{F6} \u{F8}-\u{1BA} \u{1BC}-\u{1BF} \u{1C4}-\u{293} \u{295}-\u{2AF}
    \u{370}-\u{373} \u{376} \u{377} \u{37B}-\u{37D} \u{37F} \u{386} \u{388}-\u{38A} \u{38C} \u{38E}-\u{3A1}
    \u{3A3}-\u{3F5} \u{3F7}-\u{481} \u{48A}-\u{52F} \u{531}-\u{556} \u{10A0}-\u{10C5} \u{13A0}-\u{13F5}
    \u{13F8}-\u{13FD} \u{1C90}-\u{1CBA} \u{1CBD}-\u{1CBF} \u{1D00}-\u{1D2B} \u{1D6B}-\u{1D77}
    \u{1D79}-\u{1D9A} \u{1E00}-\u{1F15} \u{1F18}-\u{1F1D} \u{1F20}-\u{1F45} \u{1F48}-\u{1F4D}
    \u{1F50}-\u{1F57} \u{1F59} \u{1F5B} \u{1F5D} \u{1F5F}-\u{1F7D} \u{1F80}-\u{1FB4} \u{1FB6}-\u{1FBC}
    \u{1FBE} \u{1FC2}-\u{1FC4} \u{1FC6}-\u{1FCC} \u{1FD0}-\u{1FD3} \u{1FD6}-\u{1FDB} \u{1FE0}-\u{1FEC}
    \u{1FF2}-\u{1FF4} \u{1FF6}-\u{1FFC} \u{2102} \u{2107} \u{210A}-\u{2113} \u{2115} \u{2119}-\u{211D}
    \u{2124} \u{2126} \u{2128} \u{212A}-\u{212D} \u{212F}-\u{2134} \u{2139} \u{213C}-\u{213F}
    \u{2145}-\u{2149} \u{214E} \u{2183} \u{2184} \u{2C00}-\u{2C7B} \u{2C7E}-\u{2CE4} \u{2CEB}-\u{2CEE}
    \u{2CF2} \u{2CF3} \u{A640}-\u{A66D} \u{A680}-\u{A69B} \u{A722}-\u{A76F} \u{A771}-\u{A787}
    \u{A78B}-\u{A78E} \u{AB70}-\u{ABBF} \u{FB00}-\u{FB06} \u{FB13}-\u{FB17} \u{FF21}-\u{FF3A}
    \u{FF41}-\u{FF5A} \u{10400}-\u{1044F} \u{104B0}-\u{104D3} \u{104D8}-\u{104FB} \u{10C80}-\u{10CB2}
    \u{10CC0}-\u{10CF2} \u{118A0}-\u{118DF} \u{1E900}-\u{1E943}
]+";
/// Without spaces: in llama.cpp this class does not match them.
const DEEPSEEK_SIGNS: &str =
    r"\s?[!-/:-~\u{FF01}-\u{FF0F}\u{FF1A}-\u{FF5E}\u{2018}-\u{201F}\u{3000}-\u{3002}--\s]+";
const DEEPSEEK_IDEOGRAPHS: &str = r"[\u{4E00}-\u{9FA5}\u{800}-\u{4E00}\u{AC00}-\u{D7FF}--\s]+";
const BLOOM: &str = r" ?[^(\s|.,!?\u{2026}\u{3002}\u{FF0C}\u{3001}\u{964}\u{6D4}\u{60C})]+";

/// A splitting with these names and patterns, and the flags unset.
const fn splitting(names: &'static [&'static str], patterns: &'static [&'static str]) -> Splitting {
    Splitting { names, patterns, takes_whole_words: false, adds_bos: false }
}

/// llama.cpp's splittings; `tests/real/tokens.py` compares each with it.
const SPLITTINGS: [Splitting; 16] = [
    Splitting {
        takes_whole_words: true,
        adds_bos: true,
        ..splitting(
            &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
            &[LLAMA_3],
        )
    },
    // Newer versions of llama.cpp take whole words here too.
    splitting(&["smaug-bpe", "dbrx", "chatglm-bpe", "glm4", "glm5"], &[LLAMA_3]),
    splitting(
        &[
            "qwen2",
            "deepseek-r1-qwen",
            "kormo",
            "f2llmv2",
            "megrez",
            "stablelm2",
            "hunyuan",
            "solar-open",
            "grok-2",
        ],
        &[QWEN_2],
    ),
    splitting(&["qwen35"], &[QWEN_3_5]),
    splitting(&["gpt-4o", "llama4", "kanana2", "minimax-m2"], &[GPT_4O]),
    Splitting { takes_whole_words: true, adds_bos: true, ..splitting(&["tekken"], &[TEKKEN]) },
    splitting(&["seed-coder"], &[SEED_CODER]),
    splitting(
        &["deepseek-v3", "hunyuan-dense", "joyai-llm"],
        &[r"\p{N}{1,3}", r"[\u{4E00}-\u{9FA5}\u{3040}-\u{309F}\u{30A0}-\u{30FF}]+", DEEPSEEK_3],
    ),
    splitting(
        &["deepseek-llm"],
        &[r"[\r\n]", DEEPSEEK_LETTERS, DEEPSEEK_SIGNS, r"\s+$", DEEPSEEK_IDEOGRAPHS, r"\p{N}+"],
    ),
    splitting(&["deepseek-coder"], &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_IDEOGRAPHS, r"\p{N}"]),
    splitting(
        &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
        &[r"\p{N}", GPT_2],
    ),
    splitting(
        &[
            "gpt-2",
            "phi-2",
            "olmo",
            "mpt",
            "jais",
            "exaone4",
            "gigachat",
            "trillion",
            "granite-docling",
            "a.x-4.0",
            "mellum",
        ],
        &[GPT_2],
    ),
    splitting(&["falcon"], &[r"[\p{P}$+<=>^~|`]+", GPT_2, r"[0-9][0-9][0-9]"]),
    splitting(&["bloom", "poro-chat", "gpt3-finnish"], &[BLOOM]),
    splitting(&["viking"], &[BLOOM, r"\p{N}"]),
    splitting(&["default"], &[r"[\p{P}$+<=>^~|]+", GPT_2, r"\p{N}+", r"[0-9][0-9][0-9]"]),
];

#[derive(Debug)]
pub(super) struct Splitter {
    patterns: Vec<Regex>,
    takes_whole_words: bool,
    adds_bos: bool,
}

impl Splitter {
    pub(super) fn new(metadata: &Metadata) -> Result<Self> {
        const PRE: &str = "tokenizer.ggml.pre";
        let name = metadata.str_of(PRE).unwrap_or("default");
        let Some(splitting) = SPLITTINGS.iter().find(|splitting| splitting.names.contains(&name)) else {
            let known: Vec<&str> = SPLITTINGS.iter().flat_map(|splitting| splitting.names).copied().collect();
            return Err(unknown(PRE, name, known.join(", ")));
        };
        let patterns = splitting.patterns.iter();
        let patterns =
            patterns.map(|pattern| Regex::new(pattern).expect("the patterns above are regular expressions"));
        Ok(Self {
            patterns: patterns.collect(),
            takes_whole_words: splitting.takes_whole_words,
            adds_bos: splitting.adds_bos,
        })
    }

    pub(super) fn takes_whole_words(&self) -> bool {
        self.takes_whole_words
    }

    pub(super) fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    pub(super) fn words<'a>(&self, text: &'a str) -> Vec<&'a str> {
        self.patterns.iter().fold(vec![text], |parts, pattern| {
            parts.into_iter().flat_map(|part| split(pattern, part)).collect()
        })
    }
}

/// Splits `text` into the matches of `pattern` and what is between them.
fn split<'a>(pattern: &Regex, text: &'a str) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let mut start = 0;
    while let Some(captures) = pattern.captures_at(text, start) {
        let (matched, spaces) = (captures.get_match(), captures.get(1));
        let mut end = matched.end();
        if let Some(spaces) = spaces
            && end < text.len()
            && let Some((last, _)) = spaces.as_str().char_indices().next_back().filter(|&(last, _)| last > 0)
        {
            end = spaces.start() + last;
        }
        parts.extend([&text[start..matched.start()], &text[matched.start()..end]]);
        start = end;
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}
