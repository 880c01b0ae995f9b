use qmill::Format;
use qmill::llm::{LoadOptions, Model, Session};
#[test]
fn llm_scratch() {
    let path = std::env::var("LLM").unwrap_or(crate::support::TINY_SHAKESPEARE.to_owned());
    let tokens: Vec<u32> =
        std::env::var("TOKENS").unwrap_or("1,2,3".into()).split(',').map(|x| x.parse().unwrap()).collect();
    let t = std::time::Instant::now();
    let model = Model::load(path, &LoadOptions { cache: Format::F32, ..LoadOptions::default() }).unwrap();
    println!("load {:?}", t.elapsed());
    let mut s = Session::new(&model).unwrap();
    let t = std::time::Instant::now();
    s.prefill(&tokens).unwrap();
    println!("prefill {:?}", t.elapsed());
    println!("{:?}", &s.logits()[..8]);
    let t = std::time::Instant::now();
    let mut out = vec![];
    for _ in 0..24 {
        out.push(
            s.next_with(|l| (0..l.len()).max_by(|&a, &b| l[a].total_cmp(&l[b])).unwrap() as u32).unwrap(),
        );
    }
    println!("decode {:?} {out:?}", t.elapsed());
}
