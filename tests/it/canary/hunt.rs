//! Finding a value in bytes, in whatever way it was written there. No test of the program itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// So many bytes of a value, in a row, are a leak.
const PART: usize = 12;

/// A value that must not be seen: where it was given, and its letters and digits. They need no escape anywhere, so
/// that JSON, TOML, shells, URLs and Rust leave them as they are, whatever stands around them.
#[derive(Clone)]
pub struct Canary {
    pub name: String,
    core: Vec<u8>,
}

impl Canary {
    /// A value of its own for whatever is called that.
    pub fn new(name: &str) -> Canary {
        let random = uuid::Uuid::new_v4().simple().to_string();
        let core = random.chars().map(|c| if c.is_ascii_digit() { c.to_ascii_uppercase() } else { c });
        Canary { name: name.to_owned(), core: core.collect::<String>().into_bytes() }
    }

    /// One whose value somebody else made.
    pub fn of(name: &str, value: &[u8]) -> Canary {
        assert!(value.len() >= PART, "{name} is too short to be told from anything else");
        Canary { name: name.to_owned(), core: value.to_vec() }
    }

    /// The letters and digits.
    pub fn plain(&self) -> String {
        String::from_utf8(self.core.clone()).expect("letters and digits")
    }

    /// The value within what has to be escaped.
    pub fn quoted(&self) -> String {
        format!("a\"b'c\\d {} ü%20$x", self.plain())
    }

    /// Everything that it could look like: each part of it, as it is and encoded.
    fn looks(&self) -> BTreeMap<Vec<u8>, String> {
        let mut looks = BTreeMap::new();
        for part in self.core.windows(PART).step_by(4) {
            let hex = part.iter().fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").expect("memory");
                text
            });
            looks.insert(part.to_vec(), "as it is".to_owned());
            looks.insert(part.iter().rev().copied().collect(), "backwards".to_owned());
            looks.insert(hex.to_uppercase().into_bytes(), "in hexadecimal".to_owned());
            looks.insert(hex.into_bytes(), "in hexadecimal".to_owned());
            let list = part.iter().map(u8::to_string).collect::<Vec<_>>();
            looks.insert(list.join(",").into_bytes(), "as a list of numbers".to_owned());
            looks.insert(list.join(", ").into_bytes(), "as a list of numbers".to_owned());
            for before in 0..3 {
                let padded = [&b"###"[..before], part].concat();
                for (engine, name) in [(&STANDARD_NO_PAD, "in base64"), (&URL_SAFE_NO_PAD, "in base64 for URLs")] {
                    let text = engine.encode(&padded).into_bytes();
                    // The first characters depend on what comes before, the last on what comes after.
                    let from = (before * 8).div_ceil(6);
                    let to = padded.len() * 8 / 6;
                    looks.insert(text[from..to].to_vec(), name.to_owned());
                }
            }
        }
        looks
    }
}

/// What was seen of one canary.
pub struct Sighting {
    pub canary: String,
    pub place: String,
    pub look: String,
    pub around: String,
}

impl std::fmt::Display for Sighting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Sighting { canary, place, look, around } = self;
        write!(f, "{canary} in {place}, {look}: …{around}…")
    }
}

/// Looks for all canaries in bytes, and in what is packed in them.
pub fn hunt(place: &str, bytes: &[u8], canaries: &[Canary]) -> Vec<Sighting> {
    let mut seen = Vec::new();
    let unpacked = unpack(bytes);
    for (packed, bytes) in std::iter::once((false, bytes)).chain(unpacked.iter().map(|bytes| (true, &bytes[..]))) {
        for canary in canaries {
            for (look, name) in canary.looks() {
                if let Some(at) = memchr::memmem::find(bytes, &look) {
                    let around = &bytes[at.saturating_sub(60)..(at + look.len() + 20).min(bytes.len())];
                    seen.push(Sighting {
                        canary: canary.name.clone(),
                        place: format!("{place}{}", if packed { " (unpacked)" } else { "" }),
                        look: name,
                        around: String::from_utf8_lossy(around).escape_debug().to_string(),
                    });
                    break;
                }
            }
        }
    }
    seen
}

/// Everything that is compressed somewhere in the bytes: gzip and zlib have a beginning that can be told.
fn unpack(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for at in 0..bytes.len().saturating_sub(2) {
        let mut out = Vec::new();
        let rest = &bytes[at..];
        match rest {
            // A stream that breaks off has given what it could until then.
            [0x1f, 0x8b, 8, ..] => flate2::read::GzDecoder::new(rest).take(64 << 20).read_to_end(&mut out).ok(),
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => {
                flate2::read::ZlibDecoder::new(rest).take(64 << 20).read_to_end(&mut out).ok()
            }
            _ => continue,
        };
        if out.len() > PART {
            found.push(out);
        }
    }
    found
}

/// The same in every file of a folder but those that `skip` names.
pub fn hunt_files(folder: &Path, skip: &dyn Fn(&str) -> bool, canaries: &[Canary]) -> (usize, Vec<Sighting>) {
    let (mut files, mut seen, mut queue) = (0, Vec::new(), vec![folder.to_owned()]);
    while let Some(path) = queue.pop() {
        let name = path.strip_prefix(folder).expect("below").display().to_string();
        if !name.is_empty() && skip(&name) {
            continue;
        }
        seen.extend(hunt("the name of a file", name.as_bytes(), canaries));
        if path.is_dir() {
            queue.extend(std::fs::read_dir(&path).expect("readable").flatten().map(|entry| entry.path()));
        } else if let Ok(bytes) = std::fs::read(&path) {
            files += 1;
            seen.extend(hunt(&name, &bytes, canaries));
        }
    }
    (files, seen)
}

#[test]
fn it_is_found_however_it_is_written() {
    let canary = Canary::new("test");
    let value = canary.plain();
    let packed = {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut packer, format!("a {value} b").as_bytes()).expect("memory");
        [b"something before ".to_vec(), packer.finish().expect("memory")].concat()
    };
    let mut texts = vec![
        canary.quoted().into_bytes(),
        serde_json::to_vec(&canary.quoted()).expect("JSON"),
        format!("{:?}", canary.quoted().as_bytes()).into_bytes(),
        value.as_bytes()[3..20].to_vec(),
        packed,
    ];
    for before in 0..4 {
        let text = format!("{}{}tail", &"xyz?"[..before], canary.quoted());
        texts.push(STANDARD_NO_PAD.encode(&text).into_bytes());
        texts.push(URL_SAFE_NO_PAD.encode(&text).into_bytes());
        texts.push(text.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02X}")).into_bytes());
    }
    for text in &texts {
        let seen = hunt("here", text, std::slice::from_ref(&canary));
        assert!(!seen.is_empty(), "{}", String::from_utf8_lossy(text));
    }
    assert!(hunt("here", &texts[0], &[Canary::new("other")]).is_empty());
}
