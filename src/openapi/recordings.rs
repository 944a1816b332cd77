//! Reading the recorded exchanges of a real API server in tests, where they are at hand.

use std::path::PathBuf;

use serde_json::Value as Json;

/// A file of the folder beside the repository; `None`, with a printed line, where it is absent.
pub fn file(path: &str) -> Option<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let found = ["../shared", "../../shared"].iter().map(|folder| root.join(folder).join(path)).find(|p| p.exists());
    let text = found.and_then(|path| std::fs::read_to_string(path).ok());
    if text.is_none() {
        skip(path);
    }
    text
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skip(path: &str) {
    eprintln!("skipped: no shared/{path}");
}

/// The exchanges of a recording, in order.
pub fn exchanges(name: &str) -> Option<Vec<Json>> {
    let text = file(&format!("recordings/kube/{name}.json"))?;
    let json: Json = serde_json::from_str(&text).expect("a recording is JSON");
    json["exchanges"].as_array().cloned()
}

/// The documents of a multi-document YAML file.
pub fn documents(path: &str) -> Option<Vec<Json>> {
    let text = file(path)?;
    let options = serde_saphyr::options! { budget: None };
    let documents = serde_saphyr::from_multiple_with_options(&text, options).expect("a CRD file is YAML");
    Some(documents)
}
