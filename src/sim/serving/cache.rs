//! The prefix cache: blocks of tokens, each named by everything before it, the least used forgotten first.

use std::collections::BTreeMap;

use super::tokens::{Token, digest};

/// A cache of whole blocks.
#[derive(Debug)]
pub struct PrefixCache {
    block: usize,
    capacity: usize,
    /// Blocks and when each was last used.
    used: BTreeMap<u64, u64>,
    order: BTreeMap<u64, u64>,
    turn: u64,
}

impl PrefixCache {
    /// A cache of `capacity` blocks of `block` tokens.
    pub fn new(block: usize, capacity: usize) -> Self {
        let (used, order) = (BTreeMap::new(), BTreeMap::new());
        PrefixCache { block: block.max(1), capacity: capacity.max(1), used, order, turn: 0 }
    }

    /// Names of the whole blocks of a prompt; `salt` keeps strangers apart.
    fn names(&self, salt: &str, tokens: &[Token]) -> Vec<u64> {
        let mut names = Vec::new();
        let mut before = salt.to_owned();
        for block in tokens.chunks_exact(self.block) {
            let name = digest(&before, block);
            names.push(name);
            before = format!("{name:x}");
        }
        names
    }

    /// How many of a prompt's tokens are known: whole blocks from its beginning, never the last token, which
    /// has to be computed to get an answer at all.
    pub fn known(&self, salt: &str, prompt: &[Token]) -> usize {
        let names = self.names(salt, prompt);
        let matching = names.iter().take_while(|name| self.used.contains_key(*name)).count();
        (matching * self.block).min(prompt.len().saturating_sub(1) / self.block * self.block)
    }

    /// Remembers the whole blocks of these tokens.
    pub fn remember(&mut self, salt: &str, tokens: &[Token]) {
        for name in self.names(salt, tokens) {
            self.turn += 1;
            if let Some(before) = self.used.insert(name, self.turn) {
                self.order.remove(&before);
            }
            self.order.insert(self.turn, name);
            if self.used.len() > self.capacity
                && let Some((_, oldest)) = self.order.pop_first()
            {
                self.used.remove(&oldest);
            }
        }
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.used.clear();
        self.order.clear();
    }

    /// The share of blocks in use, 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a few thousand blocks")]
    pub fn usage(&self) -> f64 {
        self.used.len() as f64 / self.capacity as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_blocks_from_the_beginning_count() {
        let mut cache = PrefixCache::new(4, 100);
        let prompt: Vec<Token> = (0..10).collect();
        assert_eq!(cache.known("", &prompt), 0);
        cache.remember("", &prompt);
        assert_eq!(cache.known("", &prompt), 8);
        // All blocks known: the last token is computed all the same.
        assert_eq!(cache.known("", &prompt[..8]), 4);
        assert_eq!(cache.known("salt", &prompt), 0);
        let mut other = prompt.clone();
        other[0] = 99;
        assert_eq!(cache.known("", &other), 0);
        other = prompt.clone();
        other[5] = 99;
        assert_eq!(cache.known("", &other), 4);
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mut cache = PrefixCache::new(1, 3);
        cache.remember("", &[1, 2, 3]);
        cache.remember("other", &[7]);
        assert_eq!(cache.known("", &[1, 2, 3, 4]), 0);
        assert!((cache.usage() - 1.0).abs() < f64::EPSILON);
    }
}
