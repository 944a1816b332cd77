//! Words for numbers: a small tokenizer and a small writer, both the same every time.
//!
//! About as many tokens per text as a real tokenizer makes; nothing else about it is real.

use sha2::{Digest, Sha256};

/// One token: what the model sees.
pub type Token = u32;

/// Size of the vocabulary that token numbers pretend to come from.
const VOCABULARY: u32 = 151_936;
/// Letters that go into one token at most.
const LONGEST: usize = 6;

/// Cuts text into pieces: words with the blank before them, in parts of six letters; digits one by one.
pub fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut kind = Kind::Other;
    let mut length = 0;
    for (at, c) in text.char_indices() {
        let now = Kind::of(c);
        let continues = at > start
            && match (kind, now) {
                (Kind::Blank, Kind::Letter) => length == 1,
                (Kind::Letter, Kind::Letter) => length <= LONGEST,
                (Kind::Blank, Kind::Blank) => true,
                _ => false,
            };
        if at > start && !continues {
            pieces.push(&text[start..at]);
            start = at;
            length = 0;
        }
        kind = now;
        length += 1;
    }
    if start < text.len() {
        pieces.push(&text[start..]);
    }
    pieces
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Blank,
    Other,
}

impl Kind {
    fn of(c: char) -> Kind {
        match c {
            _ if c.is_alphabetic() => Kind::Letter,
            ' ' => Kind::Blank,
            _ => Kind::Other,
        }
    }
}

/// The number of a piece.
pub fn number(piece: &str) -> Token {
    let digest = Sha256::digest(piece.as_bytes());
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) % VOCABULARY
}

/// The tokens of a text.
pub fn tokens(text: &str) -> Vec<Token> {
    pieces(text).into_iter().map(number).collect()
}

/// The tokens of a conversation, in the template that Qwen's models use.
pub fn conversation(messages: &[(String, String)]) -> Vec<Token> {
    let mut all = Vec::new();
    let special = |name: &str| number(name);
    for (role, content) in messages {
        all.push(special("<|im_start|>"));
        all.extend(tokens(role));
        all.push(special("\n"));
        all.extend(tokens(content));
        all.push(special("<|im_end|>"));
        all.push(special("\n"));
    }
    all.push(special("<|im_start|>"));
    all.extend(tokens("assistant"));
    all.push(special("\n"));
    all
}

/// A digest of tokens, to tell prompts apart.
pub fn digest(salt: &str, tokens: &[Token]) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(salt.as_bytes());
    for token in tokens {
        hasher.update(token.to_be_bytes());
    }
    let digest = hasher.finalize();
    u64::from_be_bytes(std::array::from_fn(|i| digest[i]))
}

const SUBJECTS: [&str; 12] = [
    " The model",
    " A cluster",
    " The gateway",
    " This answer",
    " Each request",
    " The cache",
    " A prefix",
    " One node",
    " The operator",
    " A replica",
    " The plan",
    " Every token",
];
const VERBS: [&str; 10] =
    [" keeps", " reads", " shares", " needs", " follows", " returns", " finds", " holds", " serves", " explains"];
const OBJECTS: [&str; 14] = [
    " the first block",
    " what it has seen",
    " a short reply",
    " its own memory",
    " the longest route",
    " a warm start",
    " the next step",
    " one clear rule",
    " the whole story",
    " a simple example",
    " both sides",
    " the same words",
    " a good reason",
    " every detail",
];

/// Writes text without end for a seed, piece by piece; a sentence's last piece ends with a full stop.
pub struct Writer {
    state: u64,
    pending: std::collections::VecDeque<String>,
    sentences: u64,
    planned: u64,
}

impl Writer {
    /// What the model writes after a prompt with this digest.
    pub fn new(seed: u64) -> Self {
        Writer { state: seed, pending: std::collections::VecDeque::new(), sentences: 0, planned: 12 + seed % 20 }
    }

    fn draw(&mut self, choices: &[&str]) -> String {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let index = usize::try_from(self.state >> 33).unwrap_or(0) % choices.len();
        choices[index].to_owned()
    }

    /// The next piece, one token; `None` when everything has been said.
    pub fn next_piece(&mut self) -> Option<String> {
        if self.pending.is_empty() {
            if self.sentences >= self.planned {
                return None;
            }
            self.sentences += 1;
            let sentence = format!("{}{}{}.", self.draw(&SUBJECTS), self.draw(&VERBS), self.draw(&OBJECTS));
            self.pending.extend(pieces(&sentence).into_iter().map(str::to_owned));
        }
        self.pending.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_up_the_text() {
        for text in ["The quick brown fox", "", "a  b", "x=12;\n", "Überlängenwörter sind lang", " lead"] {
            assert_eq!(pieces(text).concat(), text);
        }
        assert_eq!(pieces("The quick brown fox"), ["The", " quick", " brown", " fox"]);
        assert_eq!(pieces("12"), ["1", "2"]);
    }

    #[test]
    fn prefixes_share_tokens_and_writers_repeat_themselves() {
        let long = tokens("one common beginning, then this");
        assert!(long.starts_with(&tokens("one common beginning,")));
        let all = |seed| {
            let mut writer = Writer::new(seed);
            std::iter::from_fn(move || writer.next_piece()).collect::<String>()
        };
        assert_eq!(all(7), all(7));
        assert_ne!(all(7), all(8));
        assert!(all(7).ends_with('.'));
    }
}
