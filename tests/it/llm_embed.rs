//! An app with a model inside: it owns its conversations, sees progress, stops early, and gets its memory
//! back.

use crate::gpu::{another_device, gpu};
use crate::support::TINY_SHAKESPEARE;
use qmill::gguf;
use qmill::llm::{End, Generator, LoadOptions, Model, SamplerOptions, Session, Tokenizer};
use qmill::{Device, Error, Gpu, wgpu};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

const ROMEO: &str = "ROMEO:\nBut, soft! what light through yonder window breaks?\n";

fn devices() -> Vec<Device> {
    std::iter::once(Device::Cpu).chain(gpu().map(|gpu| Device::Gpu(gpu.clone()))).collect()
}

fn greedy(model: &Model) -> Generator {
    let tokenizer = Tokenizer::new(model.metadata()).unwrap();
    Generator::new(Session::new(model).unwrap(), tokenizer, SamplerOptions::greedy()).unwrap()
}

/// An app's struct, which borrows nothing.
struct Server {
    talks: HashMap<u32, Generator>,
}

#[test]
fn a_struct_owns_conversations_and_another_thread_continues_them() {
    let model = Model::load(TINY_SHAKESPEARE, &LoadOptions::default()).unwrap();
    let tokenizer = Arc::new(Tokenizer::new(model.metadata()).unwrap());
    let mut server = Server { talks: HashMap::new() };
    for user in [3, 4] {
        let session = Session::new(&model).unwrap();
        let generator = Generator::new(session, tokenizer.clone(), SamplerOptions::greedy()).unwrap();
        server.talks.insert(user, generator);
    }
    let prompt = tokenizer.prompt(ROMEO);
    let answer = server.talks.get_mut(&3).unwrap().answer(&prompt, 5, &mut |_| ControlFlow::Continue(()));
    let longer = [&prompt, answer.unwrap().tokens.as_slice(), &prompt].concat();
    let (server, again) = std::thread::spawn(move || {
        let mut server = server;
        let talk = server.talks.get_mut(&3).unwrap();
        let again = talk.answer(&longer, 5, &mut |_| ControlFlow::Continue(())).unwrap();
        (server, again)
    })
    .join()
    .unwrap();
    assert_eq!((again.tokens.len(), again.prompt_tokens), (5, prompt.len()));
    assert_eq!(server.talks[&4].session().position(), 0);
}

#[test]
fn tokens_come_one_by_one_and_only_as_asked_for() {
    for device in devices() {
        let model = Model::load(TINY_SHAKESPEARE, &LoadOptions::default().with_device(device)).unwrap();
        let mut generator = greedy(&model);
        let prompt = generator.tokenizer().prompt(ROMEO);
        let whole = generator.answer(&prompt, 8, &mut |_| ControlFlow::Continue(())).unwrap();

        let mut tokens = generator.tokens(&prompt, 8).unwrap();
        let mut text = String::new();
        let mut ids = Vec::new();
        assert_eq!(tokens.end(), None);
        for token in &mut tokens {
            let token = token.unwrap();
            text.push_str(&token.text);
            ids.push(token.id);
        }
        assert_eq!((tokens.end(), &ids), (Some(End::Limit), &whole.tokens));
        assert!(tokens.next().is_none());
        let answer = tokens.into_answer();
        assert_eq!((&answer.text, &answer.tokens, answer.steps), (&whole.text, &whole.tokens, 7));
        assert_eq!(text, whole.text);

        // Three calls of `next` compute three tokens.
        let mut tokens = generator.tokens(&prompt, 8).unwrap();
        let three: Vec<u32> = tokens.by_ref().take(3).map(|token| token.unwrap().id).collect();
        let answer = tokens.into_answer();
        assert_eq!((three.as_slice(), answer.end), (&whole.tokens[..3], End::Stopped));
        assert_eq!((answer.tokens, generator.session().position()), (three, prompt.len() + 3));
    }
}

#[test]
fn a_prompt_stops_between_batches_and_continues() {
    for device in devices() {
        let options = LoadOptions::default().with_device(device).with_batch(4);
        let model = Model::load(TINY_SHAKESPEARE, &options).unwrap();
        let prompt = Tokenizer::new(model.metadata()).unwrap().prompt(ROMEO);
        let total = prompt.len() as u64;
        assert!(total > 12);

        let mut whole = Session::new(&model).unwrap();
        let mut seen = Vec::new();
        whole
            .prefill_with(&prompt, &mut |progress| {
                assert_eq!(progress.total, total);
                seen.push(progress.done);
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(seen, (4..total).step_by(4).collect::<Vec<_>>());

        let mut session = Session::new(&model).unwrap();
        let stop_at_eight = &mut |progress: qmill::llm::Progress| match progress.done {
            8.. => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        assert!(matches!(session.prefill_with(&prompt, stop_at_eight), Err(Error::Cancelled)));
        assert_eq!((session.position(), session.logits().len()), (8, 0));
        session.prefill(&prompt[8..]).unwrap();
        assert_eq!(session.logits(), whole.logits());

        // A generator computes only the rest.
        let mut generator = greedy(&model);
        assert!(matches!(generator.tokens_with(&prompt, 3, stop_at_eight), Err(Error::Cancelled)));
        let answer = generator.answer(&prompt, 3, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(answer.prompt_tokens, prompt.len() - 8);
        let right = greedy(&model).answer(&prompt, 3, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(answer.tokens, right.tokens);
    }
}

#[test]
fn loading_reports_progress_and_can_be_cancelled() {
    let file = gguf::Model::open(TINY_SHAKESPEARE).unwrap();
    let bytes: u64 = file.tensors().map(|tensor| tensor.info.bytes()).sum();
    for device in devices() {
        let options = LoadOptions::default().with_device(device);
        let mut seen = Vec::new();
        Model::load_with(TINY_SHAKESPEARE, &options, &mut |progress| {
            assert_eq!(progress.total, bytes);
            seen.push(progress.done);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(seen.is_sorted() && seen.len() > 10, "{seen:?}");
        assert_eq!((seen[0], seen[seen.len() - 1]), (0, bytes));

        let mut calls = 0;
        let stopped = Model::load_with(TINY_SHAKESPEARE, &options, &mut |_| {
            calls += 1;
            if calls == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(stopped, Err(Error::Cancelled)));
        assert_eq!(calls, 3);
    }
}

/// Bytes that the device has allocated.
fn allocated(device: &wgpu::Device) -> Option<u64> {
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    device.generate_allocator_report().map(|report| report.total_allocated_bytes)
}

#[test]
fn a_model_and_its_sessions_free_their_memory() {
    let Some((device, queue)) = another_device() else { return };
    let gpu = Gpu::from_device(device, queue).unwrap();
    let Some(before) = allocated(gpu.device()) else {
        // wgpu reports them on these two backends.
        let backend = gpu.device().adapter_info().backend;
        assert!(!matches!(backend, wgpu::Backend::Vulkan | wgpu::Backend::Dx12), "{backend}");
        return;
    };
    let round = || {
        let options = LoadOptions::default().with_device(Device::Gpu(gpu.clone()));
        let model = Model::load(TINY_SHAKESPEARE, &options).unwrap();
        let loaded = allocated(gpu.device()).unwrap();
        let mut generator = greedy(&model);
        let prompt = generator.tokenizer().prompt(ROMEO);
        generator.answer(&prompt, 3, &mut |_| ControlFlow::Continue(())).unwrap();
        let running = allocated(gpu.device()).unwrap();
        assert!(loaded >= before + model.device_bytes(), "{before}, {loaded}");
        assert!(running >= loaded + model.cache_bytes(), "{loaded}, {running}");
        drop(generator);
        let without_session = allocated(gpu.device()).unwrap();
        assert!(without_session + model.cache_bytes() <= running, "{running}, {without_session}");
        drop(model);
        allocated(gpu.device()).unwrap()
    };
    let first = round();
    assert!(first < before + (1 << 20), "{before} before, {first} after");
    assert_eq!(round(), first);
}
