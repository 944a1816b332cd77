//! Charts of our own, each in one text file: what it shows, its cases, then its files.
//!
//! ```text
//! # What it shows.
//! renders NAME: ARGUMENTS
//! refuses NAME: +LAYER ARGUMENTS
//! ==> Chart.yaml <==
//! …
//! ==> +LAYER/templates/a.yaml <==     laid over the chart where a case names the layer; `(gone)` removes
//! ==> charts/a.tgz//a/Chart.yaml <==  packed
//! ==> @values.yaml <==                beside the chart
//! ==> binary.bin (base64) <==         also (crlf), (no newline)
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// One chart with its cases.
pub struct Sample {
    pub name: String,
    pub cases: Vec<Case>,
    files: Vec<(String, Vec<u8>)>,
}

/// One way of rendering it.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub renders: bool,
    pub layers: Vec<String>,
    pub arguments: Vec<String>,
}

/// The folder of the corpus.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charts")
}

/// All samples, by name.
pub fn samples() -> Vec<Sample> {
    let mut paths = std::fs::read_dir(folder()).expect("readable").flatten().map(|e| e.path()).collect::<Vec<_>>();
    paths.sort();
    paths.iter().filter(|path| path.extension().is_some_and(|e| e == "chart")).map(|path| read(path)).collect()
}

fn read(path: &Path) -> Sample {
    let text = std::fs::read_to_string(path).expect("readable");
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let mut cases = Vec::new();
    let mut files: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches('\n');
        if let Some(path) = bare.strip_prefix("==> ").and_then(|rest| rest.strip_suffix(" <==")) {
            files.push((path.to_owned(), String::new()));
        } else if let Some((_, content)) = files.last_mut() {
            content.push_str(line);
        } else if !bare.is_empty() && !bare.starts_with('#') {
            cases.push(case(&name, bare));
        }
    }
    Sample { files: files.into_iter().map(content).collect(), name, cases }
}

fn case(sample: &str, line: &str) -> Case {
    let (head, arguments) = line.split_once(':').unwrap_or_else(|| panic!("{sample}: {line}"));
    let (verb, name) = head.split_once(' ').unwrap_or_else(|| panic!("{sample}: {line}"));
    let renders = match verb {
        "renders" => true,
        "refuses" => false,
        _ => panic!("{sample}: {line}"),
    };
    let (layers, arguments) = words(arguments).into_iter().partition::<Vec<_>, _>(|word| word.starts_with('+'));
    let layers = layers.iter().map(|layer| layer[1..].to_owned()).collect();
    Case { name: name.to_owned(), renders, layers, arguments }
}

/// Splits as a shell does, with its quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut quote = None;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some('"'), '\\') if letters.peek().is_some_and(|next| "\"\\".contains(*next)) => {
                word.get_or_insert_default().extend(letters.next());
            }
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().extend(letters.next()),
            (None, ' ') => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

fn content((path, text): (String, String)) -> (String, Vec<u8>) {
    let Some((path, how)) = path.strip_suffix(')').and_then(|path| path.rsplit_once(" (")) else {
        return (path, text.into_bytes());
    };
    let bytes = match how {
        "base64" => STANDARD.decode(text.trim()).expect("base64"),
        "crlf" => text.replace('\n', "\r\n").into_bytes(),
        "no newline" => text.trim_end_matches('\n').to_owned().into_bytes(),
        _ => panic!("{path}: what is ({how})?"),
    };
    (path.to_owned(), bytes)
}

impl Sample {
    /// The text of a file of the chart itself.
    pub fn text(&self, path: &str) -> Option<String> {
        let (_, bytes) = self.files.iter().find(|(name, _)| name == path)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// All that is written in it.
    pub fn all(&self) -> String {
        self.files.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned() + "\n").collect()
    }

    /// Writes the chart into `folder`/chart and what is beside it into `folder`/beside.
    pub fn unpack(&self, folder: &Path, layers: &[String]) {
        let mut files = BTreeMap::<&str, &[u8]>::new();
        for (path, bytes) in &self.files {
            let path = match path.strip_prefix('+').and_then(|path| path.split_once('/')) {
                Some((layer, path)) if layers.iter().any(|l| l == layer) => path,
                Some(_) => continue,
                None => path,
            };
            if bytes == b"(gone)\n" {
                files.remove(path);
            } else {
                files.insert(path, bytes);
            }
        }
        for layer in layers {
            let prefix = format!("+{layer}/");
            assert!(self.files.iter().any(|(path, _)| path.starts_with(&prefix)), "{}: no layer {layer}", self.name);
        }
        let (chart, beside) = (folder.join("chart"), folder.join("beside"));
        std::fs::create_dir_all(&chart).expect("writable");
        std::fs::create_dir_all(&beside).expect("writable");
        let mut archives = BTreeMap::<&str, Vec<(&str, &[u8])>>::new();
        for (path, bytes) in files {
            if let Some((archive, inner)) = path.split_once("//") {
                archives.entry(archive).or_default().push((inner, bytes));
                continue;
            }
            let place = path.strip_prefix('@').map_or_else(|| chart.join(path), |path| beside.join(path));
            std::fs::create_dir_all(place.parent().expect("below")).expect("writable");
            std::fs::write(place, bytes).expect("writable");
        }
        for (archive, inner) in archives {
            let place = chart.join(archive);
            std::fs::create_dir_all(place.parent().expect("below")).expect("writable");
            std::fs::write(place, pack(&inner)).expect("writable");
        }
    }
}

fn pack(files: &[(&str, &[u8])]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut tar = tar::Builder::new(gzip);
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, *bytes).expect("memory");
    }
    tar.into_inner().and_then(flate2::write::GzEncoder::finish).expect("memory")
}
