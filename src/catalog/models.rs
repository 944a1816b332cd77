//! The models that the catalogue knows: data for the check whether one fits an accelerator.
//!
//! Not a list of what can be served: a model that is missing here is served as well, unchecked. Figures are those
//! of each model's public `config.json` on Hugging Face; parameters are the sums of its tensors, as the model
//! cards and Keras Hub's presets state them.

/// One row.
#[derive(Debug, PartialEq, Eq)]
pub struct Model {
    /// The Hugging Face repository.
    pub name: &'static str,
    /// What has to be held in memory.
    pub shape: Shape,
    /// Whether Hugging Face hands it out only to those who have accepted its licence, by their token.
    pub gated: bool,
}

/// The sizes of a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Numbers in all tensors.
    pub parameters: u64,
    /// Layers, `num_hidden_layers`.
    pub layers: u64,
    /// Heads of queries, `num_attention_heads`.
    pub heads: u64,
    /// Heads of keys and values, `num_key_value_heads`.
    pub kv_heads: u64,
    /// Numbers of one head, `head_dim`.
    pub head_size: u64,
    /// The longest context in tokens, `max_position_embeddings`.
    pub context: u64,
}

const fn row(name: &'static str, gated: bool, parameters: u64, sizes: [u64; 5]) -> Model {
    let [layers, heads, kv_heads, head_size, context] = sizes;
    Model { name, shape: Shape { parameters, layers, heads, kv_heads, head_size, context }, gated }
}

/// All rows: layers, heads, heads of keys and values, size of a head, context.
pub static MODELS: &[Model] = &[
    row("Qwen/Qwen2.5-0.5B-Instruct", false, 494_032_768, [24, 14, 2, 64, 32_768]),
    row("Qwen/Qwen2.5-1.5B-Instruct", false, 1_543_714_304, [28, 12, 2, 128, 32_768]),
    row("Qwen/Qwen2.5-3B-Instruct", false, 3_085_938_688, [36, 16, 2, 128, 32_768]),
    row("Qwen/Qwen2.5-7B-Instruct", false, 7_615_616_512, [28, 28, 4, 128, 32_768]),
    row("google/gemma-2b-it", true, 2_506_172_416, [18, 8, 1, 256, 8192]),
    row("microsoft/Phi-3-mini-4k-instruct", false, 3_821_079_552, [32, 32, 32, 96, 4096]),
    row("mistralai/Mistral-7B-Instruct-v0.3", true, 7_248_023_552, [32, 32, 8, 128, 32_768]),
    row("meta-llama/Llama-3.1-8B-Instruct", true, 8_030_261_248, [32, 32, 8, 128, 131_072]),
    row("codellama/CodeLlama-7b-Instruct-hf", false, 6_738_546_688, [32, 32, 32, 128, 16_384]),
];

impl Model {
    /// The row of a Hugging Face repository; its name is written in any case.
    pub fn find(repository: &str) -> Option<&'static Model> {
        MODELS.iter().find(|row| row.name.eq_ignore_ascii_case(repository))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parameters of a decoder with a gated feed-forward of width `inner`, by its matrices.
    fn counted(row: &Model, hidden: u64, inner: u64, vocabulary: u64, tied: bool, biased: bool) -> u64 {
        let Shape { layers, heads, kv_heads, head_size, .. } = row.shape;
        let (queries, keys) = (heads * head_size, kv_heads * head_size);
        let attention = hidden * (2 * queries + 2 * keys) + if biased { queries + 2 * keys } else { 0 };
        let layer = attention + 3 * hidden * inner + 2 * hidden;
        layers * layer + hidden + vocabulary * hidden * if tied { 1 } else { 2 }
    }

    #[test]
    fn the_parameters_are_those_of_the_shapes() {
        let find = |name: &str| Model::find(name).expect("a row");
        let cases = [
            ("Qwen/Qwen2.5-0.5B-Instruct", 896, 4864, 151_936, true, true),
            ("Qwen/Qwen2.5-1.5B-Instruct", 1536, 8960, 151_936, true, true),
            ("Qwen/Qwen2.5-3B-Instruct", 2048, 11_008, 151_936, true, true),
            ("Qwen/Qwen2.5-7B-Instruct", 3584, 18_944, 152_064, false, true),
            ("google/gemma-2b-it", 2048, 16_384, 256_000, true, false),
            ("microsoft/Phi-3-mini-4k-instruct", 3072, 8192, 32_064, false, false),
            ("mistralai/Mistral-7B-Instruct-v0.3", 4096, 14_336, 32_768, false, false),
            ("meta-llama/Llama-3.1-8B-Instruct", 4096, 14_336, 128_256, false, false),
            ("codellama/CodeLlama-7b-Instruct-hf", 4096, 11_008, 32_016, false, false),
        ];
        assert_eq!(cases.len(), MODELS.len());
        for (name, hidden, inner, vocabulary, tied, biased) in cases {
            let row = find(name);
            assert_eq!(row.shape.parameters, counted(row, hidden, inner, vocabulary, tied, biased), "{name}");
            assert_eq!(row.shape.heads % row.shape.kv_heads, 0, "{name}");
        }
        assert_eq!(Model::find("qwen/qwen2.5-3b-instruct"), Model::find("Qwen/Qwen2.5-3B-Instruct"));
        assert_eq!(Model::find("Qwen/Qwen2.5-4B"), None);
    }
}
