//! Base64 and base32. Base64 of a value that is known only later stays known only later.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

use super::{Call, Function, T};
use crate::template::data::Data;
use crate::template::fault::Outcome;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("b64enc", &[T::Text], encode).places(),
    Function::new("b64dec", &[T::Text], |c| {
        if let Data::Text(text) = c.any(0)
            && c.engine.options.tokens.source(text.bytes()).is_some()
        {
            return Ok(Data::from(c.engine.options.tokens.unbase64(text)?));
        }
        let text = c.bytes(0).iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect::<Vec<_>>();
        Ok(match LENIENT.decode(&text) {
            Ok(bytes) => Data::Text(bytes.into()),
            Err(_) => Data::from(format!("illegal base64 data at input byte {}", base64_fault(c.bytes(0)))),
        })
    })
    .places(),
    Function::new("b32enc", &[T::Text], |c| Ok(Data::from(base32(c.bytes(0))))),
    Function::new("b32dec", &[T::Text], |c| {
        Ok(match unbase32(c.bytes(0)) {
            Ok(bytes) => Data::Text(bytes.into()),
            Err(at) => Data::from(format!("illegal base32 data at input byte {at}")),
        })
    }),
];

/// As Go decodes: bits left over at the end are ignored.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// Standard base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn encode(c: &Call<'_, '_>) -> Outcome {
    if let Data::Text(text) = c.any(0)
        && c.engine.options.tokens.source(text.bytes()).is_some()
    {
        return Ok(Data::from(c.engine.options.tokens.base64(text)?));
    }
    Ok(Data::from(base64(c.bytes(0))))
}

/// The byte at which a decoder gives up that reads four at a time and passes over line breaks.
fn base64_fault(text: &[u8]) -> usize {
    let breaks = |from: usize| text[from..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let mut at = 0;
    loop {
        let mut read = 0;
        while read < 4 {
            let Some(byte) = text.get(at) else { return at - read };
            at += 1;
            match byte {
                b'\r' | b'\n' => {}
                b if b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/') => read += 1,
                b'=' if read == 2 => {
                    at += breaks(at);
                    return match text.get(at) {
                        None => at,
                        Some(b'=') => at + 1 + breaks(at + 1),
                        Some(_) => at - 1,
                    };
                }
                b'=' if read == 3 => return at + breaks(at),
                _ => return at - 1,
            }
        }
    }
}

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(5) {
        let mut block = [0u8; 8];
        block[3..3 + chunk.len()].copy_from_slice(chunk);
        let number = u64::from_be_bytes(block);
        let letters = (chunk.len() * 8).div_ceil(5);
        for at in 0..8 {
            let index = (number >> (35 - 5 * at)) & 31;
            out.push(if at < letters { ALPHABET[index as usize] as char } else { '=' });
        }
    }
    out
}

fn unbase32(text: &[u8]) -> Result<Vec<u8>, usize> {
    let text = text.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect::<Vec<_>>();
    let mut out = Vec::new();
    for (index, chunk) in text.chunks(8).enumerate() {
        let start = index * 8;
        // Whatever else is wrong, a letter of another alphabet is found first.
        if let Some(at) = chunk.iter().position(|letter| *letter != b'=' && !ALPHABET.contains(letter)) {
            return Err(start + at);
        }
        if chunk.len() < 8 {
            return Err(start);
        }
        let letters = chunk.iter().position(|b| *b == b'=').unwrap_or(8);
        let padding = &chunk[letters..];
        if padding.iter().any(|b| *b != b'=')
            || !matches!(letters, 2 | 4 | 5 | 7 | 8)
            || letters < 8 && start + 8 < text.len()
        {
            return Err(start + letters);
        }
        let mut number = 0u64;
        for (at, letter) in chunk[..letters].iter().enumerate() {
            let value = ALPHABET.iter().position(|a| a == letter).ok_or(start + at)?;
            number |= (value as u64) << (35 - 5 * at);
        }
        out.extend_from_slice(&number.to_be_bytes()[3..3 + letters * 5 / 8]);
    }
    Ok(out)
}
