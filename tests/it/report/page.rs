//! The pages and pictures: well formed, and nothing from elsewhere.

use super::{TINY_SHAKESPEARE, failure, report, stdout};
use qmill::report::{html, markdown, pictures};
use std::collections::HashSet;
use std::fs;

/// Elements of HTML that have no end.
const VOID: [&str; 3] = ["meta", "br", "!DOCTYPE"];

/// Checks that elements are nested and closed, that attributes are quoted and named once, and that `<` and
/// `&` occur only where they may. Returns the names of all elements.
pub(crate) fn check_markup(text: &str) -> Result<Vec<String>, String> {
    let (mut open, mut all) = (Vec::<String>::new(), Vec::new());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        check_text(&rest[..start], open.last().is_some_and(|name| name == "style"))?;
        let end = rest[start..].find('>').ok_or("a tag without an end")? + start;
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            let last = open.pop();
            if last.as_deref() != Some(name) {
                return Err(format!("</{name}> ends {last:?}"));
            }
            continue;
        }
        let name: String = tag.chars().take_while(|c| !c.is_whitespace() && *c != '/').collect();
        let mut attributes = tag[name.len()..].trim_end_matches('/').trim();
        let mut seen = HashSet::new();
        while !attributes.is_empty() && !name.starts_with('!') {
            let Some((key, after)) = attributes.split_once('=') else {
                // HTML has attributes without values.
                seen.insert(attributes);
                break;
            };
            let value = after.strip_prefix('"').and_then(|value| value.split_once('"'));
            let (value, after) = value.ok_or(format!("{key} is not quoted in <{tag}>"))?;
            check_text(value, false)?;
            if !seen.insert(key) {
                return Err(format!("{key} twice in <{tag}>"));
            }
            attributes = after.trim_start();
        }
        if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
            open.push(name.clone());
        }
        all.push(name);
    }
    if open.is_empty() { Ok(all) } else { Err(format!("{open:?} are open at the end")) }
}

fn check_text(text: &str, is_style: bool) -> Result<(), String> {
    for part in text.split('&').skip(1) {
        if !part.split_once(';').is_some_and(|(name, _)| name.len() < 6 && !name.contains(' ')) {
            return Err(format!("& in {text:?}"));
        }
    }
    if text.contains('>') && !is_style { Err(format!("> in {text:?}")) } else { Ok(()) }
}

/// Nothing that a browser would fetch or run.
pub(crate) fn check_alone(text: &str) -> Result<(), String> {
    let without_names = text.replace("http://www.w3.org/2000/svg", "");
    for word in ["http", "//", "src=", "href", "url(", "@import", "<script", "<link", "<iframe", "onload"] {
        if without_names.contains(word) {
            return Err(word.to_owned());
        }
    }
    Ok(())
}

#[test]
fn the_page_stands_alone_and_is_well_formed() {
    let mut found = report(&["--types", "Q8_0,Q4_0", "--memory-limit", "4M"]);
    // A name from a file must not become markup.
    found.base.file = "a<b>&\"c\".gguf".to_owned();
    found.rows[1].name = "Q8_0</title>".to_owned();
    let page = html(&found);
    let elements = check_markup(&page).unwrap();
    check_alone(&page).unwrap();
    let count = |name: &str| elements.iter().filter(|element| *element == name).count();
    // Loss, speed, and a picture for each type, for two widths; three tables with headings of rows.
    assert_eq!((count("svg"), count("table"), count("caption")), (8, 3, 3));
    assert_eq!((count("details"), count("h1")), (2, 1));
    assert!(count("th") > 20 && count("title") == 9, "{}", count("title"));
    assert!(page.contains("What a&lt;b&gt;&amp;&quot;c&quot;.gguf costs"));
    assert!(page.contains("prefers-color-scheme:dark"));
    // No colour but the page's variables, or dark screens would not show it.
    assert!(!page.split("</style>").nth(1).unwrap().contains("\"#"), "a fixed colour");
    let text = markdown(&found);
    assert!(text.contains("# What a&lt;b>&\"c\".gguf costs") && !text.contains("</title>"), "{text}");
}

#[test]
fn the_checks_of_pages_can_fail() {
    for wrong in ["<p>", "<p></q></p>", "<p a=1></p>", "<p a=\"1\" a=\"2\"></p>", "<p>a & b</p>", "<p>></p>"]
    {
        assert!(check_markup(wrong).is_err(), "{wrong}");
    }
    assert!(check_markup("<p class=\"x\">1 &lt; 2<br></p>").is_ok());
    assert!(check_alone("<img src=\"x\">").is_err() && check_alone("url(x)").is_err());
}

#[test]
fn pictures_stand_alone_and_say_what_they_show() {
    let found = report(&["--types", "Q8_0,Q4_0,Q2_K"]);
    let tensors = &found.rows[1].error.as_ref().unwrap().tensors;
    for svg in [
        pictures::frontier(&found, 400),
        pictures::rates(&found, 400),
        pictures::layers(tensors, "a title", 400),
        pictures::layers(&[], "nothing", 400),
    ] {
        let elements = check_markup(&svg).unwrap();
        check_alone(&svg).unwrap();
        assert_eq!(&elements[..4], ["svg", "title", "desc", "style"]);
        assert!(svg.starts_with("<svg width=\"400\"") && svg.contains("role=\"img\""), "{svg}");
    }
    let frontier = pictures::frontier(&found, 400);
    for name in ["Q8_0", "Q4_0", "Q2_K"] {
        assert!(frontier.contains(&format!(">\n{name}\n<")), "{name} has no label");
    }
    // Four layers of seven matrices, and two matrices of no layer.
    let layers = pictures::layers(tensors, "a title", 400);
    assert!(layers.matches("<rect").count() >= 4 * 7 + 2, "{layers}");
    assert!(layers.contains("The largest error is that of"));

    // Figures that cannot be drawn do not break a picture.
    let mut odd = found.clone();
    for (row, value) in odd.rows[1..].iter_mut().zip([f64::NAN, 0.0, f64::INFINITY]) {
        row.quality.divergence.as_mut().unwrap().mean.value = value;
    }
    assert!(pictures::frontier(&odd, 400).contains("No type differs"));
    odd.rows.truncate(2);
    odd.rows[1].quality.divergence.as_mut().unwrap().mean.value = 1e-300;
    odd.rows[1].speeds[0].prompt.as_mut().unwrap().value = f64::NAN;
    check_markup(&html(&odd)).unwrap();
}

#[test]
fn compare_draws_the_error_of_each_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    stdout(&["quantize", TINY_SHAKESPEARE, &path("small.gguf"), "Q4_K_M"]);
    let compare =
        |more: &[&str]| [&["compare", TINY_SHAKESPEARE, &path("small.gguf")], more].concat().join("\n");
    let run = |more: &[&str]| {
        let line = compare(more);
        stdout(&line.split('\n').collect::<Vec<_>>())
    };
    let printed = run(&[]);
    assert_eq!(run(&["-o", &path("a.svg")]), printed);
    assert_eq!(run(&["-o", &path("a.html")]), printed);
    let svg = fs::read_to_string(path("a.svg")).unwrap();
    check_markup(&svg).unwrap();
    assert!(svg.contains("Error of small.gguf against tiny-shakespeare-f16.gguf"), "{svg}");
    let page = fs::read_to_string(path("a.html")).unwrap();
    let elements = check_markup(&page).unwrap();
    check_alone(&page).unwrap();
    let rows = elements.iter().filter(|element| *element == "tr").count();
    // A heading, the tensors and the total, as on the terminal.
    assert_eq!(rows, printed.lines().count());

    let refused = |more: &[&str]| {
        let line = compare(more);
        failure(&line.split('\n').collect::<Vec<_>>())
    };
    let (line, code) = refused(&["-o", &path("a.svg")]);
    assert!(code == 1 && line.contains("a.svg: exists already"), "{line}");
    let (line, code) = refused(&["-o", &path("a.png")]);
    assert!(code == 2 && line.contains("a drawing is a file .svg or .html"), "{line}");
    run(&["-o", &path("a.svg"), "--force"]);
}
