//! Sessions: batches, rewinding, KV splits, profiles.

use super::{TINY_SHAKESPEARE, argmax, assert_near, devices, exact, seeded, session, tokens};
use qmill::gpu::Precision;
use qmill::llm::{Model, Profile, Session};
use qmill::mix::FileType;
use qmill::{Device, Error, Format};

/// Products of one vector and of several may add in another order.
const BOUND: f32 = 2e-5;

#[test]
fn any_batches_of_a_text_give_the_same_logits() {
    let text = tokens(23, 96);
    for device in devices() {
        for name in ["llama", "gemma3"] {
            let model = Model::load(seeded(name), &exact(device.clone())).unwrap();
            let whole = Session::new(&model).unwrap().all_logits(&text).unwrap();
            let last = &whole[22 * 96..];
            for parts in [vec![23], vec![1; 23], vec![1, 22], vec![22, 1], vec![9, 9, 5], vec![2, 3, 7, 11]] {
                let mut session = Session::new(&model).unwrap();
                let mut rest = text.as_slice();
                for &part in &parts {
                    let (now, later) = rest.split_at(part);
                    session.prefill(now).unwrap();
                    rest = later;
                }
                assert_eq!(session.position(), 23);
                assert_near(session.logits(), last, BOUND, &format!("{name} on {device} in {parts:?}"));
            }
            let mut session = Session::new(&model).unwrap();
            let mut parts = session.all_logits(&text[..10]).unwrap();
            parts.extend(session.all_logits(&text[10..]).unwrap());
            assert_near(&parts, &whole, BOUND, &format!("{name} on {device}: all logits in two parts"));
        }
    }
}

/// More tokens than a batch, and more logits than are read back together.
#[test]
fn a_text_may_be_longer_than_a_batch() {
    for device in devices() {
        let options = exact(device).with_context(700);
        let model = Model::load(seeded("qwen2"), &options).unwrap();
        let text = tokens(600, 96);
        let mut session = Session::new(&model).unwrap();
        let all = session.all_logits(&text).unwrap();
        assert_eq!(all.len(), 600 * 96);
        assert_eq!(session.logits(), &all[599 * 96..]);
        let mut again = Session::new(&model).unwrap();
        again.prefill(&text).unwrap();
        assert_near(again.logits(), session.logits(), BOUND, "the same without all logits");
    }
}

/// So many keys that a single token attends to them in KV splits, which a batch does not; and then in one
/// split more.
#[test]
fn attention_in_kv_splits_gives_the_logits_of_a_batch() {
    let text = tokens(1025, 96);
    for device in devices() {
        for name in ["llama", "gemma3"] {
            // A sum in another order may round an activation to the next code.
            let [exactly, nearly] = [(Precision::Exact, BOUND), (Precision::Int8, 5e-3)];
            for ((precision, bound), software_adapter) in
                [(exactly, true), (exactly, false), (nearly, true), (nearly, false)]
            {
                let quantize = (precision == Precision::Int8).then_some(FileType::Q8_0);
                let on_device = exact(device.clone());
                let options = on_device.with_context(1100).with_precision(precision).with_quantize(quantize);
                let model = Model::load(seeded(name), &options).unwrap().with_kernels_for(software_adapter);
                let [mut single, mut whole] = [(); 2].map(|()| Session::new(&model).unwrap());
                if matches!(device, Device::Gpu(_)) {
                    single.start_profile().unwrap();
                }
                single.prefill(&text[..1023]).unwrap();
                for end in [1024, 1025] {
                    single.prefill(&text[end - 1..end]).unwrap();
                    whole.rewind(0).unwrap();
                    whole.prefill(&text[..end]).unwrap();
                    let what = format!("{name} on {device}, {end} tokens, {precision:?}");
                    assert_near(single.logits(), whole.logits(), bound, &what);
                }
                let split_count = |profile: &Profile| {
                    let mut kinds = profile.singles.kinds.iter();
                    kinds.find(|kind| kind.name == "attention_reduce").map(|kind| kind.count)
                };
                // The windows of Gemma's layers have too few keys.
                let layers = single.model().config().layers;
                let split = single.profile().map(split_count);
                let is_right = |count| if name == "llama" { count == 2 * layers } else { count < 2 * layers };
                assert!(split.is_none_or(|count| count.is_some_and(is_right)), "{split:?}");
            }
        }
    }
}

#[test]
fn rewound_tokens_have_no_effect() {
    for device in devices() {
        let mut session = session(&seeded("qwen3"), &exact(device.clone()));
        session.prefill(&[5, 6, 7, 8]).unwrap();
        let right = session.logits().to_vec();
        session.prefill(&[9, 10, 11]).unwrap();
        assert_ne!(session.logits(), right);
        session.rewind(2).unwrap();
        assert!(session.logits().is_empty());
        session.prefill(&[7, 8]).unwrap();
        assert_near(session.logits(), &right, BOUND, &format!("after rewinding on {device}"));
        session.rewind(0).unwrap();
        session.prefill(&[5, 6, 7, 8]).unwrap();
        assert!(session.logits() == right, "the same batch again on {device}");
        assert!(matches!(session.rewind(5), Err(Error::Number { found: 5, .. })));
    }
}

#[test]
fn a_chosen_token_counts_at_once_and_is_computed_later() {
    for device in devices() {
        let mut session = session(TINY_SHAKESPEARE, &exact(device.clone()));
        assert!(matches!(session.next_with(argmax), Err(Error::Number { found: 0, .. })));
        session.prefill(&[41, 452]).unwrap();
        let first = session.next_with(argmax).unwrap();
        assert_eq!(first, argmax(session.logits()));
        assert_eq!(session.position(), 3);
        let second = session.next_with(argmax).unwrap();
        assert_eq!(session.position(), 4);

        let mut slow = Session::new(session.model()).unwrap();
        slow.prefill(&[41, 452, first]).unwrap();
        assert_eq!(argmax(slow.logits()), second);
        // More tokens go after the chosen one; rewinding to before it drops it.
        session.prefill(&[7]).unwrap();
        slow.prefill(&[second, 7]).unwrap();
        assert_near(session.logits(), slow.logits(), BOUND, &format!("on {device}"));
        session.next_with(argmax).unwrap();
        session.rewind(5).unwrap();
        assert_eq!(session.position(), 5);
    }
}

#[test]
fn sessions_of_a_model_are_independent() {
    for device in devices() {
        let model = Model::load(
            seeded("llama"),
            &exact(device).with_cache_keys(Format::F16).with_cache_values(Format::F16),
        )
        .unwrap();
        let [mut a, mut b] = [&model; 2].map(|model| Session::new(model).unwrap());
        a.prefill(&[1, 2, 3]).unwrap();
        let right = a.logits().to_vec();
        a.rewind(0).unwrap();
        a.prefill(&[1, 2]).unwrap();
        b.prefill(&[9, 8, 7, 6]).unwrap();
        a.prefill(&[3]).unwrap();
        assert_near(a.logits(), &right, BOUND, "beside another session");
    }
}

#[test]
fn a_profile_counts_every_kernel_and_changes_nothing() {
    let text = tokens(9, 96);
    for device in devices() {
        let model = Model::load(seeded("qwen3moe"), &exact(device.clone())).unwrap();
        let [mut timed, mut plain] = [(); 2].map(|()| Session::new(&model).unwrap());
        if matches!(device, Device::Cpu) {
            assert!(matches!(timed.start_profile(), Err(Error::Unsupported { .. })));
            continue;
        }
        timed.start_profile().unwrap();
        for session in [&mut timed, &mut plain] {
            session.prefill(&text[..6]).unwrap();
            session.prefill(&text[6..7]).unwrap();
            session.prefill(&text[7..8]).unwrap();
        }
        assert_eq!(timed.logits(), plain.logits());
        assert!(plain.profile().is_none());
        let Profile { batches, singles } = timed.profile().unwrap();
        assert_eq!((batches.tokens, singles.tokens), (6, 2));
        let layers = model.config().layers;
        for (phase, batches) in [(batches, 1), (singles, 2)] {
            let count = |name: &str| {
                let of_name = phase.kinds.iter().filter(|kind| kind.name.starts_with(name));
                of_name.map(|kind| kind.count).sum::<usize>()
            };
            // QKV, the output of attention and the router; and the logits.
            assert_eq!(count("product"), batches * (3 * layers + 1));
            assert_eq!((count("attention"), count("experts")), (batches * layers, batches * 3 * layers));
            let parts: Vec<f64> = phase.kinds.iter().map(|kind| kind.seconds).collect();
            assert!(parts.iter().all(|&seconds| seconds > 0.0), "{phase:?}");
            assert!(phase.kernel_seconds() <= phase.seconds, "{phase:?}");
        }
    }
}
