//! Whether a model fits an accelerator: arithmetic on sizes, and the sum in words. Pure; knows no stack.
//!
//! What vLLM does at its start: of the share of memory that it may take, weights and a workspace go first, the
//! rest is cache for keys and values. It refuses to start where the cache does not hold one request of the longest
//! context.

use crate::catalog::models::Shape;

/// What activations, graphs and the runtime take beside weights and cache on each device, in bytes: vLLM's own
/// profile on a T4 says 1.0 to 1.3 GiB.
const WORKSPACE: u64 = 1200 << 20;

/// Cache that each request should have when all run at once, in tokens; below it most of them only wait.
pub const SCARCE: u64 = 256;

/// What is asked of the accelerators.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// The model's sizes.
    pub shape: Shape,
    /// Memory of one device in MiB.
    pub memory_mib: u64,
    /// The share of it that vLLM takes, in hundredths.
    pub percent: u64,
    /// Devices that one copy is spread over.
    pub parallel: u64,
    /// Bits of a weight.
    pub weight_bits: u64,
    /// Bytes of weights that each device leaves in the machine's memory.
    pub offloaded: u64,
    /// Bytes of a number in the cache.
    pub cache_bytes: u64,
    /// The longest context in tokens.
    pub context: u64,
}

/// What becomes of one device's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// What vLLM may take.
    pub room: u64,
    /// The device's part of the weights.
    pub weights: u64,
    /// Keys and values of one token.
    pub token: u64,
    /// Keys and values of one request of the longest context.
    pub request: u64,
    /// What all of it needs.
    pub needed: u64,
    /// Tokens that the cache holds.
    pub tokens: u64,
}

impl Ask {
    /// The sum for one device.
    pub fn sum(&self) -> Sum {
        let parallel = self.parallel.max(1);
        let Shape { parameters, layers, kv_heads, head_size, .. } = self.shape;
        let room = (self.memory_mib << 20) / 100 * self.percent;
        let weights = (parameters * self.weight_bits / 8 / parallel).saturating_sub(self.offloaded);
        // Heads are dealt out; where there are fewer than devices, each device has a copy of one.
        let token = 2 * layers * (kv_heads / parallel).max(1) * head_size * self.cache_bytes;
        let request = token * self.context;
        let left = room.saturating_sub(weights + WORKSPACE);
        Sum { room, weights, token, request, needed: weights + WORKSPACE + request, tokens: left / token.max(1) }
    }

    /// Whether heads can be dealt out evenly over this many devices; what cannot, otherwise.
    ///
    /// # Errors
    /// The heads that are in the way, in words.
    pub fn divides(&self) -> Result<(), String> {
        let Shape { heads, kv_heads, .. } = self.shape;
        let parallel = self.parallel.max(1);
        if !heads.is_multiple_of(parallel) {
            return Err(format!("{heads} attention heads"));
        }
        if !kv_heads.is_multiple_of(parallel) && !parallel.is_multiple_of(kv_heads) {
            return Err(format!("{kv_heads} heads of keys and values"));
        }
        Ok(())
    }

    /// The longest context of which one request fits, in tokens.
    pub fn longest(&self) -> u64 {
        self.sum().tokens.min(self.shape.context)
    }
}

impl Sum {
    /// Whether one request of the longest context fits.
    pub fn fits(&self) -> bool {
        self.needed <= self.room
    }

    /// The sum in words: `5.7 GiB of weights + 1.2 GiB of workspace + … = 8.1 GiB`.
    pub fn words(&self, context: u64) -> String {
        format!(
            "{} of weights + {} of workspace + {} of cache for one request of {context} tokens = {}",
            gib(self.weights),
            gib(WORKSPACE),
            gib(self.request),
            gib(self.needed),
        )
    }
}

/// Bytes as GiB with one digit after the point.
pub fn gib(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10 + (1 << 29)) >> 30;
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::models::Model;

    fn on_t4(name: &str, context: u64) -> Ask {
        let shape = Model::find(name).expect("a row").shape;
        Ask {
            shape,
            memory_mib: 15_360,
            percent: 85,
            parallel: 1,
            weight_bits: 16,
            offloaded: 0,
            cache_bytes: 2,
            context,
        }
    }

    #[test]
    fn what_a_t4_holds() {
        let qwen = on_t4("Qwen/Qwen2.5-3B-Instruct", 4096).sum();
        assert_eq!((qwen.token, gib(qwen.weights)), (36_864, "5.7 GiB".to_owned()));
        assert!(qwen.fits() && (160_000..180_000).contains(&qwen.tokens), "{qwen:?}");
        assert!(on_t4("microsoft/Phi-3-mini-4k-instruct", 4096).sum().fits());
        assert!(on_t4("google/gemma-2b-it", 8192).sum().fits());
        for large in [
            "Qwen/Qwen2.5-7B-Instruct",
            "mistralai/Mistral-7B-Instruct-v0.3",
            "meta-llama/Llama-3.1-8B-Instruct",
            "codellama/CodeLlama-7b-Instruct-hf",
        ] {
            assert!(!on_t4(large, 2048).sum().fits(), "{large}");
        }
    }

    #[test]
    fn spread_over_chips() {
        let chips = |name: &str, parallel| Ask { memory_mib: 32_000, percent: 90, parallel, ..on_t4(name, 2048) };
        let llama = chips("meta-llama/Llama-3.1-8B-Instruct", 4);
        assert_eq!(llama.sum().weights, 8_030_261_248 / 2);
        assert_eq!(llama.divides(), Ok(()));
        // Two heads of keys and values on four chips: each chip has a copy of one.
        let qwen = chips("Qwen/Qwen2.5-3B-Instruct", 4);
        assert_eq!((qwen.divides(), qwen.sum().token), (Ok(()), 18_432));
        assert_eq!(chips("Qwen/Qwen2.5-3B-Instruct", 3).divides(), Err("16 attention heads".to_owned()));
        assert_eq!(chips("Qwen/Qwen2.5-7B-Instruct", 8).divides(), Err("28 attention heads".to_owned()));
    }

    #[test]
    fn the_sum_is_told() {
        let sum = on_t4("mistralai/Mistral-7B-Instruct-v0.3", 4096).sum();
        let expected =
            "13.5 GiB of weights + 1.2 GiB of workspace + 0.5 GiB of cache for one request of 4096 tokens = 15.2 GiB";
        assert_eq!(sum.words(4096), expected);
        let longest = on_t4("Qwen/Qwen2.5-3B-Instruct", 4096).longest();
        assert_eq!(longest, 32_768);
    }
}
