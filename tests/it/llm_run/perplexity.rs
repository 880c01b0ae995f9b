//! Perplexity and KL divergence.

use super::*;

#[test]
fn perplexity_is_that_of_libllama() {
    // tests/real/perplexity.py: libllama on the same two chunks.
    const LIBLLAMA: f64 = 20.016_525_6;
    let arguments = ["perplexity", "-m", TINY_SHAKESPEARE, "-f", HELD_OUT, "-c", "64", "--chunks", "2"];
    let measure = |more: &[&str]| {
        let ran = qmill(&[&arguments, ["--device", "cpu"].as_slice(), more].concat());
        assert!(ran.status.success(), "{}", text(ran.stderr));
        text(ran.stdout)
    };
    let same: Value = serde_json::from_str(&measure(&["--json", "--base", TINY_SHAKESPEARE])).unwrap();
    let found = same["perplexity"].as_f64().unwrap();
    assert!((found / LIBLLAMA - 1.0).abs() < 1e-3, "{found}");
    assert_eq!((&same["chunks"], &same["tokens"]), (&2.into(), &62.into()));
    let base = &same["base"];
    assert_eq!((&base["perplexity"], &base["same_top"]), (&same["perplexity"], &1.0.into()));
    assert_eq!(base["log_ratio"], 0.0);
    // Not 0: the logits of the base are rounded, by at most 2⁻¹² of up to 16.
    assert!(base["kl_divergence"].as_f64().unwrap() < 0.5 * (16.0 / 4096f64).powi(2), "{base}");

    // -1 and 0 mean no limit, as in llama-perplexity.
    let held_out = Path::new(HELD_OUT);
    let folder = tempfile::tempdir().unwrap();
    let short = folder.path().join("short.txt");
    fs::write(&short, &fs::read(held_out).unwrap()[..400]).unwrap();
    let all = |chunks: &str| {
        let arguments = ["perplexity", "-m", TINY_SHAKESPEARE, "-c", "32", "--device", "cpu", "--json"];
        let ran =
            qmill(&[&arguments, ["-f", short.to_str().unwrap(), "--chunks", chunks].as_slice()].concat());
        serde_json::from_str::<Value>(&text(ran.stdout)).unwrap()
    };
    assert!(all("-1")["chunks"].as_u64().unwrap() > 2);
    assert_eq!(all("0"), all("-1"));

    let quantized = ["--base", TINY_SHAKESPEARE, "--quantize", "Q2_K"];
    let worse: Value = serde_json::from_str(&measure(&[&quantized, ["--json"].as_slice()].concat())).unwrap();
    let base = &worse["base"];
    assert_eq!(base["perplexity"], same["perplexity"]);
    assert!(base["kl_divergence"].as_f64().unwrap() > 0.01, "{worse}");
    assert!(base["same_top"].as_f64().unwrap() < 1.0, "{worse}");
    let printed = measure(&quantized);
    let expected = format!("{:.4} ± ", worse["perplexity"].as_f64().unwrap());
    assert!(printed.contains(&expected) && printed.contains("KL divergence"), "{printed}");
}

#[test]
fn perplexity_refuses_impossible_chunks() {
    let (model, tokenizer) = tiny(None);
    let tokens = tokenizer.prompt(ROMEO);
    let measure = |text: &[u32], tokens| {
        let chunks = Chunks { tokens, limit: None, bos: None };
        eval::perplexity(&model, None, text, &chunks, &mut |_| ControlFlow::Break(()))
    };
    assert!(matches!(measure(&tokens, 3), Err(Error::Number { .. })));
    assert!(matches!(measure(&tokens[..7], 8), Err(Error::Number { .. })));
    assert!(matches!(measure(&tokens, 8), Err(Error::Cancelled)));
    let none = Chunks { tokens: 8, limit: Some(0), bos: None };
    let none = eval::perplexity(&model, None, &tokens, &none, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(none, Err(Error::Number { what: "the number of chunks", .. })));
}

#[test]
fn perplexity_follows_its_definition() {
    let quarter = [0.25f32.ln(), 0.75f32.ln()];
    let mut perplexity = Perplexity::default();
    perplexity.add(&quarter, 0);
    perplexity.add(&quarter, 0);
    assert!((perplexity.value() - 4.0).abs() < 1e-6 && perplexity.error() < 1e-6, "{perplexity:?}");
    // Logits may have any offset: 1/4 and 3/4 again.
    perplexity.add(&[100.0, 100.0 + 3f32.ln()], 1);
    let surprises = [4f64.ln(), 4f64.ln(), (4.0f64 / 3.0).ln()];
    let mean = surprises.iter().sum::<f64>() / 3.0;
    let variance = surprises.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 3.0;
    assert!((perplexity.value() - mean.exp()).abs() < 1e-5);
    assert!((perplexity.error() - (variance / 2.0).sqrt() * mean.exp()).abs() < 1e-5);
}

#[test]
fn divergence_follows_its_definition() {
    let logits = |shares: [f32; 2]| shares.map(f32::ln);
    let (half, quarter) = (logits([0.5, 0.5]), logits([0.25, 0.75]));
    let mut divergence = Divergence::default();
    divergence.add(&half, &quarter, 0);
    divergence.add(&quarter, &quarter, 1);
    let expected = 0.5 * 2f64.ln() + 0.5 * (2.0 / 3.0f64).ln();
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{a} is not {b}");
    close(divergence.mean().value, expected / 2.0);
    close(divergence.mean().error, expected / 2.0);
    close(divergence.percentile(1.0), expected);
    close(divergence.percentile(0.25), expected / 4.0);
    close(divergence.rms_difference(), (0.25f64.powi(2) / 2.0).sqrt());
    close(divergence.log_ratio().value, 2f64.ln() / 2.0);
    close(divergence.base().value(), (2.0f64 * 4.0 / 3.0).sqrt());
    // Of equal logits the first is the top: token 0 in the one model, token 1 in the other.
    close(divergence.same_top().value, 0.5);
    // Tokens that are almost impossible in the base do not count.
    let mut rare = Divergence::default();
    rare.add(&[0.0, -17.0], &[0.0, 17.0], 0);
    close(rare.mean().value, f64::from((-(1.0f32 + (-17f32).exp()).ln()).exp()) * (1.0 + 17f64.exp()).ln());
}
