//! Chat templates.

use super::*;

fn template(text: &str) -> qmill::Result<ChatTemplate> {
    let mut metadata = tiny_metadata();
    metadata.set("tokenizer.chat_template", text);
    let tokenizer = Tokenizer::new(&metadata)?;
    Ok(ChatTemplate::new(&metadata, &tokenizer)?.expect("there is one"))
}

#[test]
fn chat_templates_render() {
    let tokenizer = Tokenizer::new(&tiny_metadata()).unwrap();
    assert!(ChatTemplate::new(&tiny_metadata(), &tokenizer).unwrap().is_none());

    // SmolLM2's template.
    let smollm2 = template(concat!(
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}",
        "{{ '<|im_start|>system\nBe kind<|im_end|>\n' }}{% endif %}",
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}",
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    ))
    .unwrap();
    assert_eq!(
        smollm2.render(&[Message::new("user", "Hi <b>")]).unwrap(),
        "<|im_start|>system\nBe kind<|im_end|>\n<|im_start|>user\nHi <b><|im_end|>\n<|im_start|>assistant\n"
    );

    // Features of Gemma's and Llama's templates: namespaces, Python's methods, trimmed blocks, errors, the
    // date.
    let text = concat!(
        "{{ bos_token }}{%- set ns = namespace(first=true) -%}\n",
        "{%- for message in messages -%}\n",
        "    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}\n",
        "        {{ raise_exception('roles must alternate') }}\n    {%- endif -%}\n",
        "[{{ message.role.upper() }}] {{ message['content'].strip().split('|')[0] | trim }}",
        "{%- if not loop.last %};{% set ns.first = false %}{% endif %}\n{% endfor %}\n",
        "    {% if not ns.first %}\n{{ messages[1:] | length }}\n    {% endif %}\n",
        "{{ strftime_now('%Y') | int > 2000 }} {{ messages[0].get('x', 'none') }} ",
        "{{ messages[0] | tojson | length > 9 }}",
    );
    let render = |messages: &[Message]| template(text).unwrap().render(messages);
    let talk = [Message::new("user", " a|b "), Message::new("assistant", "c")];
    assert_eq!(
        render(&talk).unwrap(),
        "<|endoftext|>[USER] a;[ASSISTANT] c1\ntrue none true".replace("true", "True")
    );
    let error = render(&talk[1..]).unwrap_err();
    assert!(
        matches!(&error, Error::ChatTemplate { message } if message.contains("roles must alternate")),
        "{error}"
    );
    assert!(matches!(template("{% if %}").unwrap_err(), Error::ChatTemplate { .. }));
}

/// tests/real/templates.py rendered these templates by jinja2, set up as in transformers.
#[test]
fn templates_render_as_in_transformers() {
    let golden = fs::read(format!("{GOLDEN}/templates.json")).unwrap();
    let golden: Value = serde_json::from_slice(&golden).unwrap();
    let (mut texts, mut errors, mut wrong) = (0, 0, Vec::new());
    for entry in golden["templates"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let template = match template(entry["template"].as_str().unwrap()) {
            Ok(template) => template,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        for case in entry["cases"].as_array().unwrap() {
            match (template.render_with(&case["variables"]), case["text"].as_str()) {
                (Ok(found), Some(text)) if found == text => texts += 1,
                (Err(found), None) if found.to_string().contains(case["error"].as_str().unwrap()) => {
                    errors += 1;
                }
                (Ok(found), Some(text)) => {
                    let same = found.chars().zip(text.chars()).take_while(|(a, b)| a == b).count();
                    let from =
                        |text: &str| text.chars().skip(same.saturating_sub(30)).take(90).collect::<String>();
                    wrong.push(format!("{name}:\n{:?}\n{:?}", from(&found), from(text)));
                }
                (found, text) => wrong.push(format!("{name}: {found:?}, {text:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(texts >= 13 && errors >= 1, "{texts} and {errors}");
}

#[test]
fn values_that_json_cannot_hold_are_refused() {
    let nested = concat!(
        "{% set ns = namespace(x=[]) %}{% for i in range(300) %}{% set ns.x = [ns.x] %}{% endfor %}",
        "{{ ns.x|tojson }}",
    );
    let error = template(nested).unwrap().render(&[]).unwrap_err();
    assert!(error.to_string().contains("nested too deep"), "{error}");
    for wrong in [
        "{{ x|tojson }}",
        "{{ {}|tojson(separators=',') }}",
        "{{ 1|tojson(color=1) }}",
        "{{ 1 % 0 }}",
        "{{ 'a'.zfill(1000000) }}",
    ] {
        assert!(matches!(template(wrong).unwrap().render(&[]), Err(Error::ChatTemplate { .. })), "{wrong}");
    }
}
