//! Random texts and numbers. All derive from the stack's key and the place in the templates that asks,
//! so that the same plan comes out twice. Without a key they are refused.

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use super::{Call, Function, T};
use crate::template::data::Data;
use crate::template::fault::{Fault, Outcome};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("randAlphaNum", &[T::Int], |c| {
        letters(c, b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    }),
    Function::new("randAlpha", &[T::Int], |c| letters(c, b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")),
    Function::new("randNumeric", &[T::Int], |c| letters(c, b"0123456789")),
    Function::new("randAscii", &[T::Int], |c| letters(c, &(32..127).collect::<Vec<u8>>())),
    Function::new("randBytes", &[T::Int], |c| {
        let count = amount(c)?;
        Ok(Data::from(super::encoding::base64(&Stream::new(c)?.bytes(count))))
    }),
    Function::new("randInt", &[T::Int, T::Int], |c| {
        let (least, bound) = (c.int(0), c.int(1));
        if bound <= least {
            return Err(Fault::new("invalid argument to Intn"));
        }
        let offset = Stream::new(c)?.below(bound.abs_diff(least));
        Ok(Data::int(least.wrapping_add(offset as i64)))
    }),
    Function::new("shuffle", &[T::Text], |c| {
        let mut letters = c.text(0).chars().collect::<Vec<_>>();
        let mut stream = Stream::new(c)?;
        for at in (1..letters.len()).rev() {
            letters.swap(at, stream.below(at as u64 + 1) as usize);
        }
        Ok(Data::from(letters.into_iter().collect::<String>()))
    }),
    Function::new("uuidv4", &[], |c| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&Stream::new(c)?.bytes(16));
        Ok(Data::from(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()))
    }),
];

fn amount(c: &Call<'_, '_>) -> Result<usize, Fault> {
    let count = usize::try_from(c.int(0)).unwrap_or(0);
    if count > 1 << 20 {
        return Err(Fault::limit("more than a million random characters"));
    }
    Ok(count)
}

fn letters(c: &Call<'_, '_>, alphabet: &[u8]) -> Outcome {
    let count = amount(c)?;
    let mut stream = Stream::new(c)?;
    let text = (0..count).map(|_| alphabet[stream.below(alphabet.len() as u64) as usize]).collect::<Vec<_>>();
    Ok(Data::Text(text.into()))
}

/// Bytes that only the key, the call site and the number of the draw decide.
pub(super) struct Stream {
    key: [u8; 32],
    block: u64,
    buffer: Vec<u8>,
}

impl Stream {
    /// The next stream of this call site.
    ///
    /// # Errors
    /// Where the rendering has no key.
    pub(super) fn new(c: &Call<'_, '_>) -> Result<Self, Fault> {
        let Some(key) = &c.engine.options.key else {
            return Err(Fault::new(
                "random values need the stack's key, so that the next plan shows the same ones; there is none",
            ));
        };
        let mut site = Sha256::new();
        let mut place = |file: &str, at: usize| {
            site.update((file.len() as u64).to_be_bytes());
            site.update(file.as_bytes());
            site.update((at as u64).to_be_bytes());
        };
        for (file, at) in c.engine.trail.borrow().iter() {
            place(file, *at);
        }
        place(c.site.0, c.site.1);
        let site: [u8; 32] = site.finalize().into();
        let mut draws = c.engine.draws.borrow_mut();
        let draw = draws.entry(site).or_insert(0);
        *draw += 1;
        let mut mac = hmac(key);
        mac.update(c.engine.options.scope.as_bytes());
        mac.update(&[0]);
        mac.update(&site);
        mac.update(&draw.to_be_bytes());
        Ok(Stream { key: mac.finalize().into_bytes().into(), block: 0, buffer: Vec::new() })
    }

    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            let mut mac = hmac(&self.key);
            mac.update(&self.block.to_be_bytes());
            self.block += 1;
            self.buffer.extend_from_slice(&mac.finalize().into_bytes());
        }
        self.buffer.drain(..count).collect()
    }

    /// A number below `bound`, each as likely as any other.
    fn below(&mut self, bound: u64) -> u64 {
        let bound = bound.max(1);
        let zone = u64::MAX - u64::MAX % bound;
        loop {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&self.bytes(8));
            let number = u64::from_be_bytes(bytes);
            if number < zone {
                return number % bound;
            }
        }
    }
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("a key of any length will do")
}
